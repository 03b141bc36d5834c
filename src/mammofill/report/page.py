"""The page: everything that the template shows, put into plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import Artifact
from mammofill.judging import Judgement
from mammofill.report.comparisons import measures_over_seeds, read_comparison
from mammofill.report.examples import Row, real_examples, synthetic_examples
from mammofill.report.figures import draw_history
from mammofill.report.judgements import read_judgement
from mammofill.report.lineage import Lineage, flat_settings, read_history
from mammofill.report.looking import Looking
from mammofill.report.paper import PAPER_NOTE, PAPER_TABLE
from mammofill.report.reading import cautions, read_results
from mammofill.report.reproduction import read_reproduction
from mammofill.report.settings import WriteReportSettings
from mammofill.report.tables import (
    MEASURE_WORDS,
    confusion_table,
    count_patches,
    estimates,
    interval,
    number,
)

_PLAIN_TITLE = "Mammogram classifiers with and without generated lesions"
_MOST_OPEN = 8
"""Trainings that are shown at once; of more, those of classifiers open at a click."""


@dataclass(frozen=True)
class Sheet:
    """A table as shown."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Training:
    """What the training of one infiller or classifier looked like."""

    name: str
    curves: bytes | None
    previews: tuple[tuple[str, bytes], ...]
    """Caption and PNG."""
    folded: bool
    """Whether it opens at a click: of many classifiers."""


@dataclass(frozen=True)
class Study:
    """What the page is about."""

    arms: Mapping[str, Sequence[Evaluation]]
    """Name -> replicates at all patients and the dose nearest 1."""
    classifiers: int
    """How many were evaluated in all."""
    shown: Sequence[Evaluation]
    """One classifier of each arm, in order."""
    comparisons: Sequence[Comparison]
    """Of all arms; none need be."""
    judgements: Sequence[Judgement]
    """Of infillers; none need be."""
    looking: Looking | None
    lineage: Lineage


def render_page(study: Study, roc: bytes, settings: WriteReportSettings, seed: int) -> str:
    """Return the page as HTML that refers to nothing outside itself.

    Args:
        study: what it is about.
        roc: ROC curves of the classifiers shown, SVG.
        settings: title, number of examples.
        seed: decides which examples are shown.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["data_uri"] = data_uri
    template = resources.files("mammofill.report").joinpath("template.html").read_text(encoding="utf-8")
    evaluations, lineage = study.shown, study.lineage
    first = evaluations[0]
    trained = (*lineage.of_kind("infiller"), *lineage.of_kind("classifier"))
    return environment.from_string(template).render(
        title=settings.title.strip() or _PLAIN_TITLE,
        classifiers=study.classifiers,
        arms=[(one.arm, one.label, f"{one.threshold:.3f}") for one in evaluations],
        test_set=first.test_set,
        counts=first.manifest.counts,
        confidence=f"{first.facts['confidence']:.0%}",
        reading=read_results(evaluations),
        cautions=cautions(evaluations),
        measures=tuple(MEASURE_WORDS.values()),
        seeds=max(map(len, study.arms.values())),
        over_seeds=_over_seeds(study),
        confusion=_confusion_rows(study.arms),
        looking=study.looking,
        reproduction=read_reproduction(evaluations, lineage),
        frozen=_measure_rows(evaluations, "frozen"),
        half=_measure_rows(evaluations, "half"),
        paper=PAPER_TABLE,
        paper_notes=PAPER_NOTE,
        roc=roc,
        comparisons=[read_comparison(one, lineage.patch_sets) for one in study.comparisons],
        judgements=[read_judgement(one) for one in study.judgements],
        counting=list(_counting_sheets(lineage)),
        examples=_examples(lineage, settings.examples_per_kind, seed),
        trainings=[_training(one, settings.previews, many=len(trained) > _MOST_OPEN) for one in trained],
        sources=[_source(one, lineage) for one in lineage.artifacts],
        missing=[(record.kind, Path(record.path).name, record.fingerprint[:12]) for record in lineage.missing],
    )  # fmt: skip


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture as part of the page: ``data:image/...``.

    Args:
        content: the file's bytes.
        kind: ``png``, ``jpeg`` or ``svg+xml``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _measure_rows(evaluations: Sequence[Evaluation], rule: str) -> list[tuple[str, list[tuple[str, str]]]]:
    rows = []
    for one in evaluations:
        found = estimates(one, rule)
        rows.append((one.arm, [(number(found[name].value), interval(found[name])) for name in MEASURE_WORDS]))
    return rows


def _over_seeds(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the rows of table 1 as means over seeds; none without a comparison on the test split."""
    own = [one for one in study.comparisons if not one.external]
    if not own:
        return []
    return [
        (arm, [(number(one.value), interval(one)) if one else ("", "") for one in map(found.get, MEASURE_WORDS)])
        for arm, found in measures_over_seeds(own[0])
    ]


def _confusion_rows(arms: Mapping[str, Sequence[Evaluation]]) -> list[tuple[str, list[str]]]:
    table = confusion_table(arms)
    return [
        (str(row[0]), [f"{count:.1f}" if count % 1 else f"{count:.0f}" for count in row[2:]])
        for row in table.itertuples(index=False, name=None)
    ]


def _counting_sheets(lineage: Lineage) -> Iterable[Sheet]:
    """Yield what was kept and what was left out, from the ingest on."""
    for one in lineage.of_kind("mammograms"):
        table = pd.read_parquet(one.folder / "exclusions.parquet")
        counted = table.groupby(["rule"], sort=True).size().reset_index(name="count")
        yield _sheet(f"Files and lesions that ingest left out ({one.folder.name})", counted, ("rule", "count"))
    if lineage.patch_sets:
        counted = count_patches(lineage.patch_sets)
        yield _sheet("Patches, by origin and split", counted, tuple(counted.columns))
    for patches in lineage.patch_sets:
        name = f"Considered and not kept in {patches.folder.name}"
        table = patches.dropped
        if {"reason", "split", "count"} <= set(table.columns):
            table = table.pivot_table(index="reason", columns="split", values="count", aggfunc="sum", fill_value=0)
            splits = [one for one in ("train", "validation", "test") if one in table.columns]
            table = table[splits].reset_index()
        yield _sheet(name, table, tuple(table.columns))
    for one in lineage.of_kind("pairs"):
        table = pd.read_parquet(one.folder / "unpaired.parquet")
        yield _sheet(f"Not paired, and draws that did not fit ({one.folder.name})", table, tuple(table.columns))


def _sheet(caption: str, table: pd.DataFrame, columns: tuple[str, ...]) -> Sheet:
    rows = tuple(
        tuple(_cell(value) for value in row) for row in table[list(columns)].itertuples(index=False, name=None)
    )
    return Sheet(caption, columns, rows)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{int(value):,}".replace(",", " ")  # a thin space would be lost in copying


def _examples(lineage: Lineage, count: int, seed: int) -> list[tuple[str, list[Row]]]:
    groups = []
    for one in lineage.patch_sets:
        rows = real_examples(one, count, seed) + synthetic_examples(one, lineage.patch_sets, count, seed)
        if rows:
            groups.append((one.folder.name, rows))
    return groups


def _training(artifact: Artifact, previews: int, many: bool) -> Training:
    history = read_history(artifact)
    pictures = sorted((artifact.folder / "previews").glob("*.png"))[-previews:] if previews else []
    return Training(
        f"{artifact.manifest.kind} {artifact.folder.name}",
        draw_history(history) if len(history) else None,
        tuple((_fills_after(int(one.stem)), one.read_bytes()) for one in pictures),
        folded=many and artifact.manifest.kind == "classifier",
    )


def _fills_after(images: int) -> str:
    return f"Fills after {_cell(images)} images" if images else "Fills"


def _source(artifact: Artifact, lineage: Lineage) -> dict[str, Any]:
    """Return what the manifest says, without paths and wall times, which differ from machine to machine."""
    manifest = artifact.manifest
    facts = [
        ("stage", manifest.stage),
        ("fingerprint", manifest.fingerprint),
        ("seed", str(manifest.seed)),
        ("mammofill", manifest.package_version),
        ("device", manifest.device or "none needed"),
        ("made from", ", ".join(f"{one.role}: {Path(one.path).name}" for one in manifest.inputs) or "nothing"),
        ("patients learned from", str(len(manifest.learned_patients()))),
        *((f"{name.replace('_', ' ')}", _cell(count)) for name, count in manifest.counts.items()),
    ]
    if isinstance(artifact, Evaluation):
        facts.append(("test set", artifact.test_set))
    return {
        "kind": manifest.kind,
        "name": artifact.folder.name,
        "facts": facts,
        "settings": flat_settings(manifest.settings),
    }
