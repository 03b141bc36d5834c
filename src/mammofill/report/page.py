"""The page: everything that the template shows, put into plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.evaluation.units import Units
from mammofill.ground.artifact import Artifact, taught_by
from mammofill.ground.counting import counted
from mammofill.judging import Judgement
from mammofill.patches import PatchSet
from mammofill.report.attention import Attention
from mammofill.report.compared import Compared, read_comparison
from mammofill.report.compared_figures import (
    figures_over_doses,
    forest_plot,
    precision_recall_figure,
    reliability_figure,
)
from mammofill.report.examples import LEAD, Row, lead_examples, real_examples, synthetic_examples
from mammofill.report.figures import draw_history
from mammofill.report.first_screen import fewer_fills, near_chance, not_tested, question
from mammofill.report.flow import cell, flow_sheets
from mammofill.report.judgements import read_infillers, read_judgement
from mammofill.report.lineage import Lineage, find_lineage, flat_settings, read_history
from mammofill.report.paper import PAPER_NOTE, PAPER_TABLE
from mammofill.report.reading import cautions, read_results
from mammofill.report.reproduction import read_reproduction
from mammofill.report.settings import WriteReportSettings
from mammofill.report.sheet import Figure, Sheet, rows_in_words
from mammofill.report.subgroups import subgroup_sheet
from mammofill.report.tables import MEASURE_WORDS, Estimate, confusion_table, interval, number

_PLAIN_TITLE = "Mammogram classifiers with and without generated lesions"
_MOST_OPEN = 8
"""Trainings that are shown at once; of more, those of classifiers open at a click."""


@dataclass(frozen=True)
class Training:
    """What the training of one infiller or classifier looked like."""

    name: str
    curves: Figure | None
    previews: tuple[tuple[str, bytes], ...]
    """Caption and PNG."""
    folded: bool
    """Whether it opens at a click: of many classifiers."""


@dataclass(frozen=True)
class Study:
    """What the page is about."""

    arms: Mapping[str, Sequence[Evaluation]]
    """Name -> replicates at the largest share of the patients and the dose nearest 1."""
    classifiers: int
    """How many were evaluated in all."""
    real_share: float
    """Largest share of the patients that any arm learned from; all in `arms` did."""
    fewer_patients: tuple[str, ...]
    """Further arms, trained from fewer patients only: they stand in the comparisons, and in no table beside `arms`."""
    shown: Sequence[Evaluation]
    """One classifier of each arm, in order."""
    measured: Sequence[tuple[str, Mapping[str, Estimate]]]
    """Arm, measures of table 1."""
    comparisons: Sequence[Comparison]
    """Of all arms; none need be."""
    judgements: Sequence[Judgement]
    """Of infillers; none need be."""
    roc: Figure
    subgroups: pd.DataFrame
    """Columns of `comparison.subgroups.SUBGROUP_COLUMNS`."""
    attention: Attention | None
    lineage: Lineage

    @property
    def compared(self) -> Comparison | None:
        """The comparison that answers the question: the first one on the test split; None without one."""
        return next((one for one in self.comparisons if not one.external), None)


@dataclass(frozen=True)
class Answer:
    """One comparison with its figures, as shown."""

    compared: Compared
    forest: Figure | None
    figures: tuple[Figure, ...]
    leads: bool
    """Whether its answer and its forest plot stand on the first screen."""


def render_page(study: Study, settings: WriteReportSettings, seed: int) -> str:
    """Return the page as HTML that refers to nothing outside itself.

    Args:
        study: what it is about.
        settings: title, number of examples.
        seed: decides which examples are shown.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["counted"] = counted
    environment.filters["data_uri"] = data_uri
    template = resources.files("mammofill.report").joinpath("template.html").read_text(encoding="utf-8")
    evaluations, lineage = study.shown, study.lineage
    answers = [_answer(one, study) for one in study.comparisons]
    trained = (*lineage.of_kind("infiller"), *lineage.of_kind("classifier"))
    is_of_infillers = bool(study.judgements) and not _has_fills(lineage)
    page = {
        "title": settings.title.strip() or _PLAIN_TITLE,
        "question": question(study.arms, study.compared, is_of_infillers),
        "is_of_infillers": is_of_infillers,
        "reading": read_results(evaluations),
        "cautions": cautions(evaluations),
        "answers": answers,
        "near_chance": near_chance(study.compared),
        "fewer_fills": fewer_fills(study.compared),
        "lead": lead_examples(_patch_sets_of_answer(study), seed),
        "not_tested": not_tested(study.comparisons, study.judgements, _has_fills(lineage)),
        "classifiers": study.classifiers,
        "learned_from": "all patients" if study.real_share == 1 else f"{100 * study.real_share:g} % of the patients",
        "doses": any(one.dose is not None for several in study.arms.values() for one in several),
        "fewer_patients": study.fewer_patients,
        "test_set": evaluations[0].test_set,
        "counts": evaluations[0].manifest.counts,
        "lesions": _lesions(evaluations[0]),
        "confidence": f"{100 * float(evaluations[0].facts['confidence']):g} %",
        "missing": [(record.kind, Path(record.path).name, record.fingerprint[:12]) for record in lineage.missing],
        "measures": tuple(MEASURE_WORDS.values()),
        "seeds": max(map(len, study.arms.values())),
        "table1": _table1(study.measured),
        "calls": _calls(study.arms, evaluations),
        "paper": PAPER_TABLE,
        "paper_notes": PAPER_NOTE,
        "subgroups": subgroup_sheet(study.subgroups, study.compared),
        "size_attribute": settings.size_attribute,
        "roc": study.roc,
        "more_curves": precision_recall_figure(study.compared, evaluations[0].scores) if study.compared else None,
        "reliability": reliability_figure(study.compared) if study.compared else None,
        "examples": _examples(lineage, settings.examples_per_kind, seed),
        "infillers": read_infillers(study.judgements),
        "judgements": [read_judgement(one) for one in study.judgements],
        "attention": study.attention,
        "flow": list(flow_sheets(lineage, study.arms)),
        "trainings": [_training(one, settings.previews, many=len(trained) > _MOST_OPEN) for one in trained],
        "reproduction": read_reproduction(evaluations, lineage),
        "sources": list(_sources(lineage)),
    }
    return environment.from_string(template).render(page, contents=list(_contents(page)))


def _lesions(evaluation: Evaluation) -> dict[str, int]:
    """Count the test lesions of each class; empty where lesions have no names."""
    units = Units(evaluation.scores)
    if not units.lesions_are_named:
        return {}
    malignant = int(units.lesions.malignant.sum())
    return {"benign": len(units.lesions.malignant) - malignant, "malignant": malignant}


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture as part of the page: ``data:image/...``.

    Args:
        content: the file's bytes.
        kind: ``png``, ``jpeg`` or ``svg+xml``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _contents(page: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sections that the page has, in their order: anchor, heading."""
    yield "table1", "Table 1: how well each arm classifies"
    for number_, answer in enumerate(page["answers"], start=1):
        name = f"External test: {answer.compared.external}" if answer.compared.external else "Comparisons in full"
        first = answer.leads or answer.compared.external
        yield f"comparison-{number_}", name if first else f"{name}: {answer.compared.name}"
    if page["subgroups"]:
        yield "subgroups", "Subgroups"
    yield "roc", "ROC curves"
    if page["reliability"]:
        yield "calibration", "Calibration"
    if page["examples"]:
        yield "fills", "More lesions and fills"
    for number_, judged in enumerate(page["judgements"], start=1):
        several = f" ({judged.name})" if len(page["judgements"]) > 1 else ""
        yield f"judgement-{number_}", f"Does the infiller paint lesions?{several}"
    if page["attention"]:
        yield "attention", "Where the classifiers look"
    yield "flow", "Participant flow"
    yield "training", "Training"
    yield "settings", "How to repeat the study"
    yield "lineage", "Lineage and settings"


def _patch_sets_of_answer(study: Study) -> list[PatchSet]:
    """Return the patch sets behind the arm that the answer speaks of; behind all arms where it speaks of none shown.

    Fills beside the answer to "do generated lesions help?" must not be those of a control, such as pasted real ones.
    """
    if study.compared:
        differences = study.compared.differences
        for arm in differences.loc[differences["tested"], "arm"]:
            if arm in study.arms:
                return find_lineage(study.arms[arm][:1]).patch_sets
    return study.lineage.patch_sets


def _answer(comparison: Comparison, study: Study) -> Answer:
    return Answer(
        compared=read_comparison(comparison, study.lineage.patch_sets),
        forest=forest_plot(comparison),
        figures=tuple(figures_over_doses(comparison)),
        leads=comparison is study.compared,
    )


def _has_fills(lineage: Lineage) -> bool:
    return any((one.table["origin"] == "synthetic").any() for one in lineage.patch_sets)


def _table1(measured: Sequence[tuple[str, Mapping[str, Estimate]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (arm, [(number(one.value), interval(one)) if one else ("", "") for one in map(found.get, MEASURE_WORDS)])
        for arm, found in measured
    ]


def _calls(arms: Mapping[str, Sequence[Evaluation]], evaluations: Sequence[Evaluation]) -> Sheet:
    """Say what each arm is, and what it called at its frozen threshold."""
    counted = {str(arm): calls for arm, _, *calls in confusion_table(arms).itertuples(index=False, name=None)}
    rows = tuple(
        (
            one.arm,
            one.label,
            str(len(arms[one.arm])),
            f"{one.threshold:.3f}",
            *(f"{count:.1f}" if count % 1 else f"{count:.0f}" for count in counted[one.arm]),
        )
        for one in evaluations
    )
    columns = ("arm", "network and start", "classifiers", "threshold of the first", "malignant called malignant",
               "malignant called benign", "benign called benign", "benign called malignant")  # fmt: skip
    caption = "What each arm is, and its calls at the frozen threshold (means over seeds)"
    return Sheet(caption, columns, rows, words=("network and start",))


def _examples(lineage: Lineage, count: int, seed: int) -> list[tuple[str, list[Row]]]:
    """Show examples of each set; what the first screen shows is not shown again."""
    groups = []
    shown = {"real": LEAD, "synthetic": LEAD}
    for one in lineage.patch_sets:
        origins = set(one.table["origin"])
        real = real_examples(one, count, seed, shown["real"]) if "real" in origins else []
        fills = []
        if "synthetic" in origins:
            fills = synthetic_examples(one, lineage.patch_sets, count, seed, shown["synthetic"])
        shown |= dict.fromkeys(origins, 0)
        if real or fills:
            groups.append((one.folder.name, [*real, *fills]))
    return groups


def _training(artifact: Artifact, previews: int, many: bool) -> Training:
    history = read_history(artifact)
    pictures = sorted((artifact.folder / "previews").glob("*.png"))[-previews:] if previews else []
    name = f"{artifact.manifest.kind} {artifact.folder.name}"
    return Training(
        name,
        _training_curves(history, name) if len(history) else None,
        tuple((_fills_after(int(one.stem)), one.read_bytes()) for one in pictures),
        folded=many and artifact.manifest.kind == "classifier",
    )


def _training_curves(history: pd.DataFrame, name: str) -> Figure:
    numbers = history.select_dtypes("number").drop(columns=["epoch"], errors="ignore")
    rows = []
    for column in numbers.columns.drop("images_seen", errors="ignore"):
        known = numbers[column].dropna()
        if len(known):
            rows.append((column.replace("_", " "), f"{known.iloc[0]:.3g} at first, {known.iloc[-1]:.3g} at last"))
    alt = f"Training curves of {name}. {rows_in_words(rows)}"
    return Figure(name, "Against images seen.", alt, draw_history(history))


def _fills_after(images: int) -> str:
    return f"Fills after {cell(images)} images" if images else "Fills"


def _sources(lineage: Lineage) -> Iterator[dict[str, Any]]:
    """Yield each artifact; of several of a kind, the later ones with the settings alone that are not the first one's.

    Settings that two artifacts have alike are shown once, and what they differ in can be seen.
    """
    firsts: dict[str, Artifact] = {}
    for one in lineage.artifacts:
        settings = flat_settings(one.manifest.settings)
        first = firsts.setdefault(one.manifest.stage, one)
        heading = "Settings"
        if first is not one:
            known = set(flat_settings(first.manifest.settings))
            settings = [pair for pair in settings if pair not in known]
            heading = f"Settings other than those of {first.folder.name}"
        yield {
            "kind": one.manifest.kind,
            "name": one.folder.name,
            "facts": _facts(one),
            "heading": heading,
            "settings": settings,
        }


def _facts(artifact: Artifact) -> list[tuple[str, str]]:
    """Return what the manifest says, without paths and wall times, which differ from machine to machine."""
    manifest = artifact.manifest
    facts = [
        ("stage", manifest.stage),
        ("fingerprint", manifest.fingerprint),
        ("seed", str(manifest.seed)),
        ("mammofill", manifest.package_version),
        ("device", manifest.device or "none needed"),
        ("made from", ", ".join(f"{one.role}: {Path(one.path).name}" for one in manifest.inputs) or "nothing"),
        ("patients learned from", str(len(taught_by(manifest.patients_learned_from)))),
        *((f"{name.replace('_', ' ')}", cell(count)) for name, count in manifest.counts.items()),
    ]
    if isinstance(artifact, Evaluation):
        facts.append(("test set", artifact.test_set))
    return facts
