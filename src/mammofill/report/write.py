"""Writing the report: the stage `write-report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import Artifact, begin, write_atomically
from mammofill.ground.errors import ArtifactError, TooFewError
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.report import tables
from mammofill.report.lineage import Lineage, find_lineage, flat_settings, read_history
from mammofill.report.paper import PAPER_NOTE, PAPER_ROWS
from mammofill.report.pictures import TILE_PX, data_address, draw_galleries, draw_previews
from mammofill.report.reading import cautions, read_results
from mammofill.report.report import Report
from mammofill.report.settings import WriteReportSettings

_STEPS = 4


@dataclass(frozen=True)
class Drawing:
    """A figure of the page."""

    name: str
    """Of its file, without the ending."""
    svg: str

    @property
    def address(self) -> str:
        """The figure as an address that the page holds in itself."""
        return data_address(self.svg.encode(), "image/svg+xml")


def write_report(
    evaluations: Sequence[Evaluation],
    out: str | Path,
    settings: WriteReportSettings = WriteReportSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> Report:
    """Write one page that compares evaluations on the same test set, and shows what they came from.

    The page holds everything in itself and opens offline. What the evaluations were made from is found by the paths in
    their manifests; what is no longer there is named on the page.

    Args:
        evaluations: the arms, in the order of the table; each is compared with the one before it.
        out: folder of the report.
        settings: title, numbers of pictures.
        seed: decides the resamples behind differences, and which patches are shown.
        progress: told after each part.

    Returns:
        The report.

    Raises:
        TooFewError: there is no evaluation.
        ArtifactError: the evaluations were measured on different test sets, with different confidence, or two of them
            have the same name.
    """
    check_comparable(evaluations)
    lineage = find_lineage(evaluations)

    with begin(
        out,
        kind=Report.kind,
        stage="write-report",
        settings=settings,
        seed=seed,
        inputs={"evaluations": list(evaluations)},
    ) as work:
        if work is not None:
            with progress.task("writing the report", _STEPS) as task:
                counts = _write(work.folder, evaluations, lineage, settings, seed, task)
            if lineage.missing:
                progress.say(f"{len(lineage.missing)} artifacts upstream were not found; the report names them")
            work.finish(counts)
    return Report.open(out)


def check_comparable(evaluations: Sequence[Evaluation]) -> None:
    """Refuse evaluations that cannot stand in one table.

    Raises:
        TooFewError: there is none.
        ArtifactError: test sets, or levels of confidence, differ; or two arms have the same name.
    """
    if not evaluations:
        raise TooFewError("A report needs at least one evaluation, but got none.")
    if len({one.test_set for one in evaluations}) > 1:
        lines = "".join(f"\n  {one.arm} ({one.folder}): test set {one.test_set[:12]}" for one in evaluations)
        raise ArtifactError(
            f"The evaluations were measured on different test sets, so a table of them would mean nothing:{lines}\n"
            "Evaluate all classifiers on the same patches and split."
        )
    if len({one.facts["confidence"] for one in evaluations}) > 1:
        found = ", ".join(f"{one.arm}: {one.facts['confidence']}" for one in evaluations)
        raise ArtifactError(f"The evaluations have intervals of different confidence ({found}). Evaluate all with one.")
    for arm, count in Counter(one.arm for one in evaluations).items():
        if count > 1:
            folders = ", ".join(str(one.folder) for one in evaluations if one.arm == arm)
            raise ArtifactError(
                f"{count} evaluations are called {arm!r} ({folders}), so a reader could not tell them apart. Give each "
                "once, and name them with the setting arm of evaluate."
            )


def _write(
    folder: Path,
    evaluations: Sequence[Evaluation],
    lineage: Lineage,
    settings: WriteReportSettings,
    seed: int,
    task: Task,
) -> dict[str, int]:
    """Write tables, figures and page; return the counts for the manifest."""
    found = tables.differences(evaluations, seed)
    _write_csv(folder / "table1.csv", tables.results_table(evaluations))
    _write_csv(folder / "differences.csv", tables.differences_table(found))
    task.advance(1, "tables")
    drawings = list(_draw(evaluations, lineage))
    (folder / "figures").mkdir(exist_ok=True)
    for drawing in drawings:
        write_atomically(folder / "figures" / f"{drawing.name}.svg", drawing.svg)
    task.advance(1, "figures")
    galleries = draw_galleries(lineage.patch_sets, settings.examples, seed)
    task.advance(1, "pictures")
    page = render(
        settings=settings,
        seed=seed,
        evaluations=evaluations,
        counts=evaluations[0].manifest.counts,
        percent=f"{evaluations[0].facts['confidence']:.0%}",
        differences=found,
        sentences=read_results(evaluations, found),
        cautions=cautions(evaluations, found),
        learned={one.arm: _learned_from(one, lineage) for one in evaluations},
        paper_rows=PAPER_ROWS,
        paper_note=PAPER_NOTE,
        figures={drawing.name: drawing.address for drawing in drawings},
        patch_counts=_records(tables.count_patches(lineage.patch_sets)) if lineage.patch_sets else [],
        left_out=list(_left_out(lineage)),
        galleries=galleries,
        infillers=[(one, draw_previews(one, settings.previews)) for one in lineage.of_kind("infiller")],
        lineage=lineage,
        flat_settings=flat_settings,
        tile_px=TILE_PX,
    )
    write_atomically(folder / "index.html", page)
    task.advance(1, "page")
    return {
        "evaluations": len(evaluations),
        "figures": len(drawings),
        "artifacts_shown": len(lineage.artifacts),
        "artifacts_missing": len(lineage.missing),
    }


def render(**content: Any) -> str:
    """Fill the page's template; everything that comes from data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mammofill.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"interval": tables.interval, "number": tables.number}
    return environment.get_template("template.html").render(
        measure_words=tables.MEASURE_WORDS, estimates=tables.estimates, **content
    )


def _draw(evaluations: Sequence[Evaluation], lineage: Lineage) -> Iterator[Drawing]:
    from mammofill.report import figures

    yield Drawing("roc", figures.draw_roc(evaluations))
    yield Drawing("scores", figures.draw_scores(evaluations))
    histories = {one.arm: read_history(ancestor) for one in evaluations for ancestor in _classifiers(one, lineage)}
    if any(len(history) for history in histories.values()):
        yield Drawing("classifiers", figures.draw_learning(histories))
    for infiller in lineage.of_kind("infiller"):
        history = read_history(infiller)
        if len(history):
            yield Drawing(f"infiller-{infiller.fingerprint[:12]}", figures.draw_losses(history))


def _classifiers(evaluation: Evaluation, lineage: Lineage) -> list[Artifact]:
    return [one for one in lineage.inputs_of(evaluation) if one.manifest.kind == "classifier"]


def _learned_from(evaluation: Evaluation, lineage: Lineage) -> str:
    """Say what an arm's classifier was trained on, for example ``120 real + 40 synthetic patches``."""
    for classifier in _classifiers(evaluation, lineage):
        counts = classifier.manifest.counts
        by_origin = {
            origin: sum(count for name, count in counts.items() if name.startswith(f"train_{origin}_"))
            for origin in ("real", "synthetic")
        }
        if any(by_origin.values()):
            return " + ".join(f"{count} {origin}" for origin, count in by_origin.items() if count) + " patches"
    return "training set not found"


def _left_out(lineage: Lineage) -> Iterator[tuple[str, str, list[tuple[str, int]]]]:
    """Yield what each stage did not keep: a heading, what a row counts, and reason with count."""
    for one in lineage.of_kind("mammograms"):
        rules = pd.read_parquet(one.folder / "exclusions.parquet")["rule"].value_counts(sort=False)
        yield "Left out by ingest", "rule", _sorted_counts(rules)
    for one in lineage.of_kind("patches"):
        if one.manifest.stage != "synthesize":
            dropped = pd.read_parquet(one.folder / "dropped.parquet").groupby("reason")["count"].sum()
            yield "Windows dropped by extract-patches", "reason", _sorted_counts(dropped)
    for one in lineage.of_kind("pairs"):
        unpaired = pd.read_parquet(one.folder / "unpaired.parquet").set_index("reason")["count"]
        yield "Unpaired, and tries that failed, in pair-patches", "reason", _sorted_counts(unpaired)


def _sorted_counts(counts: pd.Series[Any]) -> list[tuple[str, int]]:
    return sorted(((str(reason), int(count)) for reason, count in counts.items()), key=lambda row: (-row[1], row[0]))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, table.to_csv(index=False, lineterminator="\n"))
