"""Analysis of the ratings of a reader study, and their export for other programs; command `analyse-readers`.

Two questions: can readers distinguish synthetic lesions from real ones (an AUC of 0.5 means that they cannot); and do
they distinguish malignant from benign lesions as well among synthetic as among real ones.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, TooFewError
from mammofill.readers.mrmc import Areas, Comparison, Estimate, areas_of, compare_modalities, mean_area
from mammofill.readers.pairs import PairAnalysis, PairStudy, analyse_pairs, numbered
from mammofill.readers.roc import draw_reader_curves, reader_curves
from mammofill.readers.study import ReaderStudy

_ORIGINS = ("real", "synthetic")


@dataclass(frozen=True)
class ReaderAnalysis:
    """The results of a reader study.

    Attributes:
        readers: numbers of the readers who rated every case; the others are left out.
        unfinished: numbers of the other readers.
        cases: number of cases.
        told_apart: (J,) AUC of each reader for synthetic against real lesions.
        told_apart_errors: (J,) their standard errors.
        told_apart_mean: mean AUC over readers and cases; None with one reader.
        classes: per origin, (J,) AUC of each reader for malignant against benign lesions.
        classes_compared: AUC among synthetic lesions less that among real ones; None with one reader.
        agreement: for each of the two ratings, means over pairs of readers: Spearman's rank correlation, and Cohen's
            kappa of the ratings divided at the middle of the scale; NaN with one reader.
    """

    readers: tuple[int, ...]
    unfinished: tuple[int, ...]
    cases: int
    told_apart: tuple[float, ...]
    told_apart_errors: tuple[float, ...]
    told_apart_mean: Estimate | None
    classes: dict[str, tuple[float, ...]]
    classes_compared: Comparison | None
    agreement: dict[str, dict[str, float]]

    def __str__(self) -> str:
        """Return the findings in words."""
        lines = [f"{counted(self.cases, 'cases')}, {counted(len(self.readers), 'readers')} who rated all of them"]
        if self.unfinished:
            lines.append(f"left out, since they have not rated all: {numbered(self.unfinished)}")
        lines += ["", "synthetic against real (area under the ROC curve; 0.5: cannot be distinguished)"]
        lines += [
            f"  reader {reader}: {area:.3f} (standard error {error:.3f})"
            for reader, area, error in zip(self.readers, self.told_apart, self.told_apart_errors, strict=True)
        ]
        if self.told_apart_mean is not None:
            lines.append(f"  all such readers and cases: {_in_words(self.told_apart_mean, least=0)}")
        lines += ["", "malignant against benign"]
        for number, reader in enumerate(self.readers):
            areas = ", ".join(f"{origin} {self.classes[origin][number]:.3f}" for origin in _ORIGINS)
            lines.append(f"  reader {reader}: {areas}")
        if self.classes_compared is not None:
            found = self.classes_compared
            f = f", F {found.f:.3f}" if found.difference.standard_error else ""
            lines.append(f"  synthetic less real: {_in_words(found.difference, least=-1)}{f}")
        if len(self.readers) > 1:
            lines += ["", "agreement of two readers, on average"]
            lines += [
                f"  {name}: rank correlation {found['spearman']:.2f}, kappa {found['kappa']:.2f}"
                for name, found in self.agreement.items()
            ]
        else:
            lines += ["", "With one reader, no interval over readers can be given."]
        return "\n".join(lines)


def _in_words(found: Estimate, least: int) -> str:
    """Return an estimate between `least` and 1, and its interval cut to that range."""
    if found.standard_error == 0:
        return f"{found.value:.3f}; nothing varies over readers or cases, so no interval can be given"
    degrees = "infinite" if math.isinf(found.degrees) else f"{found.degrees:.1f}"
    return (
        f"{found.value:.3f} (95 % interval {max(found.low, least):.3f} to {min(found.high, 1):.3f}, {degrees} degrees "
        f"of freedom, p {found.p_value:.4f})"
    )


def analyse_study(study: ReaderStudy, out: str | Path | None = None) -> ReaderAnalysis | PairAnalysis:
    """Analyse a study of either kind; see `analyse_readers` and `analyse_pairs`."""
    return analyse_pairs(study, out) if isinstance(study, PairStudy) else analyse_readers(study, out)


def reader_roc(study: ReaderStudy) -> bytes:
    """Draw the ROC curves of the readers who rated every case, as SVG; see `draw_reader_curves`.

    Raises:
        TooFewError: no reader has rated every case.
    """
    return draw_reader_curves(reader_curves(_rated_by_all(study)[0]))


def _rated_by_all(study: ReaderStudy) -> tuple[pd.DataFrame, tuple[int, ...], tuple[int, ...], int]:
    """Return the ratings of the readers who rated every case, their numbers, the others' numbers, and the case count.

    Raises:
        TooFewError: no reader has rated every case.
    """
    table, cases = study.ratings(), int(study.progress()["cases"])
    done, unfinished, most = study.who_is_done(table)
    if not done:
        raise TooFewError(
            f"{study.path}: no reader has rated all {cases} cases yet (at most {most}). Let the readers finish."
        )
    return table[table["reader"].isin(done)], done, unfinished, cases


def analyse_readers(study: ReaderStudy, out: str | Path | None = None) -> ReaderAnalysis:
    """Analyse the ratings of a study.

    Args:
        study: the study.
        out: a folder that receives ``analysis.txt``, ``analysis.json``, ``ratings.csv``, each reader's ROC curves
            (``roc.csv``, ``roc.svg``), and for each question ``*.imrmc`` and ``*-mrmcaov.csv``, the inputs of iMRMC and
            of MRMCaov; None writes nothing.

    Raises:
        TooFewError: no reader has rated all cases, or there are fewer than two cases of a class or origin.
        ArtifactError: `out` exists already.
    """
    place = None if out is None else Path(out)
    if place is not None and place.exists():
        raise ArtifactError(f"{place} is there already. Choose another --out, or move it away.")
    rated, done, unfinished, cases = _rated_by_all(study)
    found = _analysed(rated, done, unfinished, cases)
    if place is not None:
        _write(place, found, rated)
    return found


def _analysed(table: pd.DataFrame, readers: tuple[int, ...], unfinished: tuple[int, ...], cases: int) -> ReaderAnalysis:
    ratings, facts = _crossed(table, "synthetic")
    apart = areas_of(ratings, (facts["origin"] == "synthetic").to_numpy(dtype=bool))
    classes: dict[str, Areas] = {}
    for origin in _ORIGINS:
        ratings, facts = _crossed(table[table["origin"] == origin], "malignant")
        classes[origin] = areas_of(ratings, (facts["pathology"] == "malignant").to_numpy(dtype=bool))
    several = len(readers) > 1
    return ReaderAnalysis(
        readers,
        unfinished,
        cases,
        tuple(map(float, apart.areas)),
        tuple(map(float, np.sqrt(np.diag(apart.covariance)))),
        mean_area(apart) if several else None,
        {origin: tuple(map(float, one.areas)) for origin, one in classes.items()},
        compare_modalities(classes["real"], classes["synthetic"]) if several else None,
        {name: _agreement(_crossed(table, name)[0]) for name in ("synthetic", "malignant")},
    )


def _crossed(table: pd.DataFrame, rating: str) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Return ratings (readers, cases), and the facts of the cases."""
    ratings = table.pivot(index="reader", columns="case", values=rating)
    facts = table.drop_duplicates("case").set_index("case").loc[ratings.columns]
    return ratings.to_numpy(dtype=np.float64), facts


def _agreement(ratings: NDArray[np.float64]) -> dict[str, float]:
    pairs = list(combinations(ratings, 2))
    with np.errstate(invalid="ignore"):
        ranks = [_rank_correlation(one, other) for one, other in pairs]
        kappas = [_kappa(one > 50, other > 50) for one, other in pairs]
    return {name: float(np.mean(values)) if values else math.nan for name, values in
            (("spearman", ranks), ("kappa", kappas))}  # fmt: skip


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation; NaN where a reader gave all cases the same rating."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(one, other).statistic)


def _kappa(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return Cohen's kappa; NaN where both readers gave all cases the same class: kappa is not defined there."""
    if len(np.unique(np.concatenate([one, other]))) < 2:
        return math.nan
    return float(cohen_kappa_score(one, other))


# ---- for other programs -------------------------------------------------------------------------------------------


def _write(place: Path, found: ReaderAnalysis, table: pd.DataFrame) -> None:
    place.mkdir(parents=True)
    write_atomically(place / "analysis.txt", f"{found}\n")
    write_atomically(place / "analysis.json", json.dumps(asdict(found), indent=2) + "\n")
    write_atomically(place / "ratings.csv", table.to_csv(index=False, lineterminator="\n"))
    curves = reader_curves(table)
    write_atomically(place / "roc.csv", curves.to_csv(index=False, lineterminator="\n"))
    write_atomically(place / "roc.svg", draw_reader_curves(curves))
    questions = {
        "synthetic-or-real": table.assign(
            truth=(table["origin"] == "synthetic").astype(int), modality="lesions", rating=table["synthetic"]
        ),
        "malignant-or-benign": table.assign(
            truth=(table["pathology"] == "malignant").astype(int), modality=table["origin"], rating=table["malignant"]
        ),
    }
    for name, question in questions.items():
        write_atomically(place / f"{name}.imrmc", as_imrmc(question, name))
        write_atomically(place / f"{name}-mrmcaov.csv", as_mrmcaov(question))


def as_imrmc(question: pd.DataFrame, title: str) -> str:
    """Return ratings in the format of iMRMC.

    Args:
        question: columns reader, case, modality, truth (0 or 1) and rating.
        title: the first line.
    """
    truth = question.drop_duplicates("case").sort_values("case")
    counts = {
        "NR": question["reader"].nunique(),
        "N0": int((truth["truth"] == 0).sum()),
        "N1": int((truth["truth"] == 1).sum()),
        "NM": question["modality"].nunique(),
    }
    lines = [title, "", *(f"{name}: {count}" for name, count in counts.items()), "", "BEGIN DATA:"]
    lines += [f"-1,{row.case},0,{row.truth}" for row in truth.itertuples()]
    rows = question.sort_values(["reader", "case"])
    lines += [f"{row.reader},{row.case},{row.modality},{row.rating}" for row in rows.itertuples()]
    return "\n".join(lines) + "\n"


def as_mrmcaov(question: pd.DataFrame) -> str:
    """Return ratings as CSV in the columns of MRMCaov's examples: reader, treatment, case, truth, rating."""
    renamed = question.rename(columns={"modality": "treatment"}).sort_values(["reader", "treatment", "case"])
    return str(renamed[["reader", "treatment", "case", "truth", "rating"]].to_csv(index=False, lineterminator="\n"))
