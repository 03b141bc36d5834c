"""Two-alternative forced choice: which of two lesions, side by side, is the real one?

The study is stored in SQLite as other reader studies (`ReaderStudy`), with two further tables: ``pairs`` (number,
pathology, and the cases of its real and its synthetic picture) and ``choices`` (code, number of the pair, whether the
left picture was chosen as real, whether that was correct, seconds, time). A reader's ``cases`` are the pairs in reading
order, each with whether the real picture is on the left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, SettingsError, TooFewError
from mammofill.readers.mrmc import Areas, Estimate, mean_area
from mammofill.readers.study import Case, ReaderStudy, stored_order, write_cases

_SCHEMA = """
CREATE TABLE pairs (number INTEGER PRIMARY KEY, pathology TEXT NOT NULL,
                    real INTEGER NOT NULL REFERENCES cases, synthetic INTEGER NOT NULL REFERENCES cases);
CREATE TABLE choices (code TEXT NOT NULL REFERENCES readers, number INTEGER NOT NULL REFERENCES pairs,
                      called_left INTEGER NOT NULL, correct INTEGER NOT NULL, seconds REAL NOT NULL, time TEXT NOT NULL,
                      PRIMARY KEY (code, number));
"""


class PairStudy(ReaderStudy):
    """A reader study of pairs, in its file."""

    kind = "pairs"
    format = "pairs-1"

    @classmethod
    def write_pairs(
        cls,
        path: Path,
        cases: Sequence[Case],
        pictures: Sequence[NDArray[np.uint8]],
        orders: Mapping[str, Sequence[tuple[int, bool]]],
        lineage: Mapping[str, Any],
    ) -> PairStudy:
        """Write a new study.

        Args:
            path: the file; its folder is created.
            cases: 2 N cases, the real and the synthetic one of a pair next to each other, in either order.
            pictures: 2 N, (H, H) uint8 each.
            orders: for each reader's code, the N pairs in reading order, each with whether the real picture is on the
                left.
            lineage: what the study was made from.

        Raises:
            ArtifactError: the file exists already.
        """
        if path.exists():
            raise ArtifactError(f"{path} is there already, and may hold choices. Choose another --out.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            write_cases(database, cls.format, _SCHEMA, cases, pictures, orders, lineage)
            database.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?)", list(_pairs(cases)))
            database.execute("COMMIT")
        return cls(path)

    def progress(self) -> dict[str, Any]:
        """Return the number of pairs, and how many each reader has judged."""
        with self._opened() as database:
            pairs = database.execute("SELECT count(*) FROM pairs").fetchone()[0]
            judged = database.execute(
                "SELECT readers.code, count(choices.number) FROM readers LEFT JOIN choices USING (code) "
                "GROUP BY readers.code ORDER BY readers.number"
            ).fetchall()
        return {"cases": pairs, "readers": [{"code": code, "rated": count} for code, count in judged]}

    def upcoming(self, code: str) -> dict[str, Any]:
        """Return a reader's position, as `ReaderStudy.upcoming`; the cases are pairs."""
        with self._opened() as database:
            order, judged = _order(database, code), _judged(database, code)
            side = database.execute("SELECT max(side) FROM cases").fetchone()[0]
        return {"position": _turn(order, judged), "cases": len(order), "side": side, "kind": self.kind}

    def pixels(self, code: str, position: int) -> bytes:
        """Return the left and then the right picture at a position of a reader's order, side x side bytes each.

        Raises:
            SettingsError: it is not the pair that the reader is to judge now, or there is none.
        """
        turn = self.upcoming(code)
        if position != turn["position"] or position == turn["cases"]:
            raise SettingsError("This is not the pair that is to be judged now. Load the page again.")
        with self._opened() as database:
            number, real_left = _order(database, code)[position]
            both = database.execute("SELECT real, synthetic FROM pairs WHERE number = ?", (number,)).fetchone()
            shown = both if real_left else both[::-1]
            found = [database.execute("SELECT pixels FROM cases WHERE number = ?", (one,)).fetchone() for one in shown]
        return b"".join(bytes(pixels) for (pixels,) in found)

    def choose(self, code: str, position: int, left: bool, seconds: float) -> None:
        """Store which picture a reader chose as real; it is written to disk when this returns.

        Repeating the same choice, as after a lost response, changes nothing.

        Args:
            code: of the reader.
            position: of the pair, in the reader's order.
            left: whether the left picture was chosen as real.
            seconds: time that it took.

        Raises:
            SettingsError: the other was chosen already, or it is not the pair to be judged now.
        """
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            order, judged = _order(database, code), _judged(database, code)
            turn = _turn(order, judged)
            if position < turn and judged[order[position][0]] == left:
                database.execute("ROLLBACK")
                return
            if position != turn or turn == len(order):
                database.execute("ROLLBACK")
                raise SettingsError("This pair was judged already, or is not to be judged yet. Load the page again.")
            number, real_left = order[position]
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = (code, number, left, left == real_left, seconds, now)
            database.execute("INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?)", row)
            database.execute("COMMIT")

    def choices(self) -> pd.DataFrame:
        """Return all choices: reader (1, 2, ...), pair, pathology, called_left, correct, seconds, time."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT readers.number, pairs.number, pathology, called_left, correct, seconds, time FROM choices "
                "JOIN readers USING (code) JOIN pairs ON pairs.number = choices.number "
                "ORDER BY readers.number, pairs.number"
            ).fetchall()
        columns = ["reader", "pair", "pathology", "called_left", "correct", "seconds", "time"]
        return pd.DataFrame(rows, columns=columns).astype({"called_left": bool, "correct": bool})


@dataclass(frozen=True)
class PairAnalysis:
    """The results of a study of pairs.

    Attributes:
        readers: numbers of the readers who judged every pair; the others are left out.
        unfinished: numbers of the other readers.
        pairs: number of pairs.
        correct: (J,) each reader's share of pairs judged correctly.
        intervals: (J,) their exact 95 % intervals over pairs (Clopper and Pearson, Biometrika 26:404, 1934).
        called_left: (J,) each reader's share of pairs whose left picture was chosen as real; a value far from 0.5 shows
            a preference for one side.
        mean: mean share over readers and pairs; None with one reader.
    """

    readers: tuple[int, ...]
    unfinished: tuple[int, ...]
    pairs: int
    correct: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    called_left: tuple[float, ...]
    mean: Estimate | None

    def __str__(self) -> str:
        """Return the findings in words."""
        lines = [f"{counted(self.pairs, 'pairs')}, {counted(len(self.readers), 'readers')} who judged all of them"]
        if self.unfinished:
            lines.append(f"left out, since they have not judged all: {numbered(self.unfinished)}")
        lines += ["", "which of the two is real (share judged correctly; 0.5: cannot be distinguished)"]
        for reader, share, (low, high), left in zip(
            self.readers, self.correct, self.intervals, self.called_left, strict=True
        ):
            lines.append(
                f"  reader {reader}: {share:.3f} (exact 95 % interval {low:.3f} to {high:.3f}); "
                f"chose the left in {100 * left:.0f} %"
            )
        return "\n".join([*lines, self._mean_in_words()])

    def _mean_in_words(self) -> str:
        if self.mean is None:
            return "  with one reader, no interval over readers can be given"
        if self.mean.standard_error == 0:
            return f"  all: {self.mean.value:.3f}; nothing varies over readers or pairs, so no interval can be given"
        return (
            f"  all such readers and pairs: {self.mean.value:.3f} (95 % interval {max(self.mean.low, 0):.3f} to "
            f"{min(self.mean.high, 1):.3f}, p {self.mean.p_value:.4f})"
        )


def numbered(readers: Sequence[int]) -> str:
    """Name readers by their numbers: ``reader 3``, ``readers 1, 3``."""
    return f"{'reader' if len(readers) == 1 else 'readers'} {', '.join(map(str, readers))}"


def analyse_pairs(study: PairStudy, out: str | Path | None = None) -> PairAnalysis:
    """Analyse how often readers found the real one of two lesions.

    Args:
        study: the study.
        out: a folder that receives ``analysis.txt``, ``analysis.json`` and ``choices.csv``; None writes nothing.

    The mean is that of Obuchowski and Rockette with readers and pairs both random, as in `mean_area`, with the share
    judged correctly in place of the area, and the covariances of two readers' shares over the pairs that both judged.

    Raises:
        TooFewError: no reader has judged all pairs, or there are fewer than two pairs.
        ArtifactError: `out` exists already.
    """
    place = None if out is None else Path(out)
    if place is not None and place.exists():
        raise ArtifactError(f"{place} is there already. Choose another --out, or move it away.")
    table, pairs = study.choices(), int(study.progress()["cases"])
    done, unfinished, most = study.who_is_done(table)
    if not done or pairs < 2:
        raise TooFewError(
            f"{study.path}: an analysis needs two pairs or more, and a reader who has judged all of them (at most "
            f"{most} of {pairs} are judged). Let the readers finish."
        )
    chosen = table[table["reader"].isin(done)]
    correct = chosen.pivot(index="reader", columns="pair", values="correct").to_numpy(dtype=np.float64)
    exact = [stats.binomtest(int(one.sum()), pairs).proportion_ci(0.95, "exact") for one in correct]
    found = PairAnalysis(
        done,
        unfinished,
        pairs,
        tuple(map(float, correct.mean(axis=1))),
        tuple((float(one.low), float(one.high)) for one in exact),
        tuple(float(chosen.loc[chosen["reader"] == reader, "called_left"].mean()) for reader in done),
        mean_share(correct) if len(done) > 1 else None,
    )
    if place is not None:
        place.mkdir(parents=True)
        write_atomically(place / "analysis.txt", f"{found}\n")
        write_atomically(place / "analysis.json", json.dumps(asdict(found), indent=2) + "\n")
        write_atomically(place / "choices.csv", chosen.to_csv(index=False, lineterminator="\n"))
    return found


def mean_share(correct: NDArray[np.float64]) -> Estimate:
    """Estimate the mean share of correct judgements over the populations of readers and pairs.

    Args:
        correct: (J, K), 1 where reader j judged pair k correctly, else 0.

    Raises:
        TooFewError: there is only one reader.
    """
    return mean_area(Areas(correct.mean(axis=1), np.atleast_2d(np.cov(correct)) / correct.shape[1]))


def open_study(path: str | Path) -> ReaderStudy:
    """Return the study in a file, of either kind; a file that cannot be read raises errors when it is used."""
    pairs = PairStudy(path)
    try:
        pairs.codes()
    except ArtifactError:
        return ReaderStudy(path)
    return pairs


def _pairs(cases: Sequence[Case]) -> list[tuple[int, str, int, int]]:
    found = []
    for number in range(len(cases) // 2):
        real = 2 * number + cases[2 * number].synthetic
        found.append((number, cases[real].pathology, real, 4 * number + 1 - real))
    return found


def _order(database: sqlite3.Connection, code: str) -> list[tuple[int, bool]]:
    return [(int(number), bool(left)) for number, left in stored_order(database, code)]


def _judged(database: sqlite3.Connection, code: str) -> dict[int, bool]:
    rows = database.execute("SELECT number, called_left FROM choices WHERE code = ?", (code,)).fetchall()
    return {int(number): bool(left) for number, left in rows}


def _turn(order: Sequence[tuple[int, bool]], judged: Mapping[int, bool]) -> int:
    return next((place for place, (number, _) in enumerate(order) if number not in judged), len(order))
