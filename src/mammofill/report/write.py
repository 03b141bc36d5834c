"""Writing the report: the stage `write_report`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mammofill.comparison import Comparison, lesion_properties, subgroups_of_arms
from mammofill.evaluation import EvaluateSettings, Evaluation
from mammofill.ground.artifact import Artifact, begin, write_atomically
from mammofill.ground.errors import ArtifactError
from mammofill.ground.progress import Progress, quiet
from mammofill.judging import Judgement
from mammofill.report.attention import read_attention
from mammofill.report.compared import write_table, write_tables
from mammofill.report.compared_figures import roc_figure
from mammofill.report.comparisons import measures_over_seeds, plain_replicates
from mammofill.report.lineage import find_lineage, mammograms_tested_on
from mammofill.report.page import Study, render_page
from mammofill.report.report import Report
from mammofill.report.settings import WriteReportSettings
from mammofill.report.tables import confusion_table, estimates, results_table


def write_report(
    evaluations: Sequence[Evaluation],
    out: str | Path,
    settings: WriteReportSettings = WriteReportSettings(),
    *,
    comparisons: Sequence[Comparison] = (),
    judgements: Sequence[Judgement] = (),
    seed: int = 0,
    progress: Progress = quiet,
) -> Report:
    """Write one page that shows evaluations, what was found by comparing them, and what they came from.

    Patches, pairs, infillers and classifiers are found through the evaluations' manifests. What is no longer at its
    place is named on the page.

    Args:
        evaluations: the arms, in the order of the tables. Where a comparison is given, of each arm the first seed at
            all patients and the dose nearest 1: all of them are in it.
        out: folder of the report.
        settings: title, number of examples.
        comparisons: of arms over seeds, doses and shares; without any, nothing is compared.
        judgements: of infillers, to be shown beside the classifiers; none need be.
        seed: decides which examples are shown.
        progress: notified of what is being made.

    Returns:
        The report.

    Raises:
        ArtifactError: there is no evaluation, they were measured on different test sets, or a comparison is of arms
            that are not among them.
        DamagedError: the plan of the study that made them was changed after it was written.
    """
    check_comparable(evaluations)
    check_compared(evaluations, comparisons)
    inputs: dict[str, Sequence[Artifact]] = {"evaluations": list(evaluations)}
    if comparisons:
        inputs["comparisons"] = list(comparisons)
    if judgements:
        inputs["judgements"] = list(judgements)
    with begin(out, kind=Report.kind, stage="write-report", settings=settings, seed=seed, inputs=inputs) as work:
        if work is not None:
            with progress.task("writing the report", 4) as task:
                study = _gather(evaluations, comparisons, judgements, settings, seed)
                task.advance(1, "numbers")
                _write_tables(study, work.folder)
                task.advance(1, "tables")
                write_atomically(work.folder / "roc.svg", study.roc.content)
                task.advance(1, "curves")
                write_atomically(work.folder / "index.html", render_page(study, settings, seed))
                task.advance(1, "page")
            work.finish(
                {"arms": len(study.shown) + len(study.fewer_patients), "missing_upstream": len(study.lineage.missing)}
            )
    return Report.open(out)


def _gather(
    evaluations: Sequence[Evaluation],
    comparisons: Sequence[Comparison],
    judgements: Sequence[Judgement],
    settings: WriteReportSettings,
    seed: int,
) -> Study:
    """Gather what the page, its tables and its figures are made from, each number once."""
    arms = plain_replicates(evaluations)
    lineage = find_lineage([several[0] for several in arms.values()] if comparisons else evaluations, judgements)
    own = next((one for one in comparisons if not one.external), None)
    # Table 1 and all that goes with it is of one share of the patients; the comparisons hold the others.
    share = max(several[0].real_share for several in arms.values())
    fewer = {arm for arm, several in arms.items() if own and several[0].real_share < share}
    arms = {arm: several for arm, several in arms.items() if arm not in fewer}
    shown = [several[0] for several in arms.values()] if comparisons else list(evaluations)
    means = dict(measures_over_seeds(own)) if own else {}
    measured = [(one.arm, means.get(one.arm, {}) if own else estimates(one)) for one in shown]
    reference = str(comparisons[0].facts["reference"]) if comparisons else shown[0].arm
    how = EvaluateSettings(
        resamples=int(shown[0].manifest.settings["resamples"]), confidence=float(shown[0].facts["confidence"])
    )
    properties = lesion_properties(mammograms_tested_on(shown), settings.size_attribute)
    return Study(
        arms=arms,
        classifiers=len(evaluations),
        real_share=share,
        fewer_patients=tuple(sorted(fewer)),
        shown=shown,
        measured=measured,
        comparisons=comparisons,
        judgements=judgements,
        roc=roc_figure(shown, measured, own),
        subgroups=subgroups_of_arms(arms, properties, how, seed),
        attention=read_attention(arms, reference, seed),
        lineage=lineage,
    )


def _write_tables(study: Study, folder: Path) -> None:
    write_table(results_table(study.shown, study.measured if study.compared else ()), folder / "table1")
    write_table(confusion_table(study.arms), folder / "confusion")
    for one in study.comparisons:
        write_tables(one, folder / one.folder.name)
    if len(study.subgroups):
        write_table(study.subgroups, folder / "subgroups")
    if study.attention:
        write_table(study.attention.table, folder / "attention")


def check_comparable(evaluations: Sequence[Evaluation]) -> None:
    """Refuse evaluations that cannot stand in one table.

    Raises:
        ArtifactError: there is none, or the test sets differ; naming each folder and its test set.
    """
    if not evaluations:
        raise ArtifactError("A report needs at least one evaluation, but got none. Name the folders of evaluations.")
    if len({one.test_set for one in evaluations}) > 1:
        shown = "".join(f"\n  {one.folder} ({one.arm}): test set {one.test_set[:12]}" for one in evaluations)
        raise ArtifactError(
            f"These evaluations were measured on different test sets, so their numbers cannot be compared:{shown}\n"
            "Evaluate all classifiers on the same patches and the same split, then write the report."
        )
    check_distinguishable(evaluations)


def check_compared(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> None:
    """Refuse comparisons of arms that the page would not show: its answer would speak of them all the same.

    Raises:
        ArtifactError: naming the comparison, the arms, and the evaluations that are missing.
    """
    shown, given = {one.arm for one in evaluations}, {one.fingerprint for one in evaluations}
    for one in comparisons:
        missing = sorted(set(one.arms["arm"]) - shown)
        if not missing:
            continue
        records = [record for record in one.manifest.inputs if record.role == "evaluations"]
        # Those of an external comparison are of other patients, and never among the evaluations of a report.
        lacking = [
            os.path.normpath(one.folder / record.path)
            for record in records
            if record.fingerprint not in given and not one.external
        ]
        named = f" ({', '.join(lacking)})" if lacking else ""
        raise ArtifactError(
            f"{one.folder} compares {', '.join(missing)}, of which no evaluation is in this report. Give their "
            f"evaluations as well{named}, or leave the comparison out."
        )


def check_distinguishable(evaluations: Sequence[Evaluation]) -> None:
    """Refuse evaluations that a reader could not distinguish: two of one arm, dose, share and replicate.

    Raises:
        ArtifactError: naming the folders and what they share.
    """
    places: dict[tuple[object, ...], Evaluation] = {}
    for one in evaluations:
        place = (one.arm, one.dose, one.real_share, one.replicate)
        other = places.setdefault(place, one)
        if other is not one:
            raise ArtifactError(
                f"{other.folder} and {one.folder} are both called {one.arm!r}, replicate {one.replicate}: they cannot "
                "be told apart. Evaluate one of them again with --arm NAME (or, if they are the same arm trained "
                "twice, --replicate 1)."
            )
