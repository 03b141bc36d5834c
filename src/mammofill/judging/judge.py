"""Measuring whether infillers paint lesions: the stage `judge_infiller`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mammofill.classifier import Classifier
from mammofill.ground.artifact import Artifact, Work, begin, write_atomically
from mammofill.ground.csv_export import to_csv
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.infilling import Infiller
from mammofill.judging.cases import choose_cases, choose_real
from mammofill.judging.checks import check_holes, check_inputs
from mammofill.judging.judgement import Judgement
from mammofill.judging.measurements import Given, Measurements, fills_in_all
from mammofill.judging.oracle import Oracle, TissueWithoutLesions
from mammofill.judging.painting import CHUNK, Painting
from mammofill.judging.pictures import contact_sheet, draw_spectra
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.spectrum import spectra_table
from mammofill.judging.table import (
    REFERENCES,
    class_verdict,
    flat_measures,
    measures_table,
    names_of,
    verdicts_of,
    verdicts_side_by_side,
)
from mammofill.judging.training import TrainingOnFills
from mammofill.judging.verdict import VERDICTS, Finding
from mammofill.pairing import Pairs
from mammofill.pairing.hole import HoleSettings, widest
from mammofill.patches import PatchSet
from mammofill.phantom import PhantomCollection

_Hole = tuple[HoleSettings, int]
"""Which pixels are repainted, and the width of the soft edge around them."""


def judge_infiller(
    infillers: Sequence[Infiller],
    classifier: Classifier,
    patches: PatchSet,
    pairs: Pairs,
    out: str | Path,
    settings: JudgeInfillerSettings = JudgeInfillerSettings(),
    *,
    standardised: Classifier | None = None,
    phantoms: PhantomCollection | None = None,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> Judgement:
    """Fill pairs of patients that were not learned from, and compare the fills with real lesions of the same split.

    Args:
        infillers: that are judged, all on the same pairs and seeds.
        classifier: that decides whether the class is painted. It learned from real patches only.
        patches: the patches that the pairs were made from.
        pairs: of a split from which neither infillers nor classifier learned, as ``pair-patches --split test`` makes.
        out: folder of the judgement.
        settings: how many, and what is wanted.
        standardised: a second classifier, trained with ``standardise``, which sees neither level nor contrast. Without
            one, its criteria cannot be judged.
        phantoms: the practice mammograms that the patches were cut from, where they are such. Then what a perfect
            infiller scores on the same patches is reported as well: the rows ``oracle``.
        seed: decides which pairs, the seeds of the fills, folds and resamples.
        progress: notified of each fill.
        device: where networks run.

    Returns:
        The judgement. A run that was killed goes on with the fills that it had made.

    Raises:
        LeakError: a patient whose tissue, outline or lesion is used shaped an infiller or a classifier.
        ArtifactError: the pairs were made from other patches or are of several splits; sizes differ; a classifier
            learned from generated patches, or the second one is not standardised; there is no infiller, or one is
            given twice; a hole does not lie in its patch, or does not hold the lesion that is painted over; the
            phantoms are not what the patches show.
        TooFewError: an infiller learned from one class only; a class or too many patients are missing in the split.
        DeviceError: the device is not there.
    """
    split = check_inputs(infillers, classifier, standardised, patches, pairs)
    cases = choose_cases(pairs, patches, settings, seed)
    real = choose_real(patches, split, settings, seed)
    check_holes(infillers, cases.contexts, pairs, patches)
    tissue = None
    if phantoms is not None:
        tissue = TissueWithoutLesions(phantoms)
        tissue.draw(cases.contexts)
        tissue.draw(real)

    from mammofill.ground.training.device import find_device

    find_device(device)
    inputs: dict[str, Artifact | Sequence[Artifact]] = {
        "infillers": list(infillers),
        "classifier": classifier,
        "patches": patches,
        "pairs": pairs,
    }
    inputs |= {"standardised": standardised} if standardised else {}
    inputs |= {"phantoms": phantoms} if phantoms else {}
    with (
        freed_memory_kept(device),
        begin(
            out, kind=Judgement.kind, stage="judge-infiller", settings=settings, seed=seed, inputs=inputs, device=device
        ) as work,
    ):
        if work is not None:
            training = TrainingOnFills(classifier, real, pairs, patches, settings, seed, device)
            for part in training.parts:
                check_holes(infillers, part.contexts, pairs, patches)
            given = Given(classifier, standardised, cases, real, training, patches, settings, seed, device)
            oracles = _oracles(infillers, tissue) if tissue else {}
            named = dict(zip(names_of(infillers, [*REFERENCES, *oracles]), infillers, strict=True))
            measurements = _measure(given, named, oracles, work, progress)
            facts = _facts(measurements, split)
            verdicts = _write(work.folder, measurements, named, list(oracles), facts)
            sizes = {
                "infillers": len(named),
                "pairs": len(cases),
                "real_lesions": len(real),
                "patients": len(facts["patients"]),
            }
            work.finish({**sizes, **{verdict.replace(" ", "_"): verdicts.count(verdict) for verdict in VERDICTS}})
    return Judgement.open(out)


def _measure(
    given: Given, infillers: Mapping[str, Infiller], oracles: Mapping[str, Oracle], work: Work, progress: Progress
) -> Measurements:
    """Measure the references, then the oracles, then the infillers by their names; what is painted is kept."""
    largest = widest([one.hole for one in infillers.values()])
    reference = next(one for one in infillers.values() if one.hole == largest)
    measurements = Measurements(given, Painting(reference, given.device))
    paintings = {name: Painting(one, given.device) for name, one in infillers.items()}
    requests_appearance = sum(one.requests_appearance for one in paintings.values())
    total = fills_in_all(measurements, len(infillers) + len(oracles), requests_appearance)
    with progress.task("filling and measuring", total) as task:
        measurements.measure_references(work.scratch / "references")
        task.advance(CHUNK, "real lesions")
        seams = _judge_oracles(measurements, oracles, work, task)
        for number, (name, painting) in enumerate(paintings.items()):
            kept, oracle = work.scratch / f"{number:02d}", seams.get(_hole_of(painting.infiller))
            measurements.judge(painting, name, kept, task, oracle=oracle)
            task.advance(CHUNK, name)
    return measurements


def _facts(measurements: Measurements, split: str) -> dict[str, Any]:
    """Return what ``judgement.json`` says of the whole judgement."""
    given = measurements.given
    trained_on = [] if given.training.cannot else [part.contexts for part in given.training.parts]
    looked_at = [given.real, given.cases.contexts, *trained_on]
    return {
        "classifier": _label_of(given.classifier),
        "standardised": _label_of(given.standardised) if given.standardised else None,
        "split": split,
        "patients": sorted({name for one in looked_at for name in one.people.ravel()}),
        "confidence": given.settings.confidence,
        "copy_threshold": measurements.training_lesions.threshold,
        "training_lesions": len(measurements.training_lesions.descriptors),
    }


def _label_of(classifier: Classifier) -> dict[str, str]:
    return {"label": classifier.label, "fingerprint": classifier.fingerprint}


def _hole_of(infiller: Infiller) -> _Hole:
    return infiller.hole, infiller.feather_px


def _oracles(infillers: Sequence[Infiller], tissue: TissueWithoutLesions) -> dict[str, Oracle]:
    """Return an oracle for each kind of hole that an infiller repaints, the widest first and with both outlines."""
    holes = list(dict.fromkeys(_hole_of(one) for one in infillers))
    largest = widest([hole for hole, _ in holes])
    first = next(one for one in holes if one[0] == largest)
    found = {"oracle": Oracle(tissue, *first, True), "oracle, mask's outline": Oracle(tissue, *first, False)}
    for hole, feather_px in holes:
        if (hole, feather_px) != first:
            found[f"oracle ({hole}, soft edge {feather_px} px)"] = Oracle(tissue, hole, feather_px, True)
    return found


def _judge_oracles(
    measurements: Measurements, oracles: Mapping[str, Oracle], work: Work, task: Task
) -> dict[_Hole, float]:
    """Measure the oracles, which get no verdicts; return the AUC at the seam of each hole."""
    seams: dict[_Hole, float] = {}
    for number, (name, oracle) in enumerate(oracles.items()):
        found = measurements.judge(oracle, name, work.scratch / f"oracle-{number:02d}", task)
        measurements.drop_verdicts(name)
        task.advance(CHUNK, name)
        if oracle.own_outline:
            seams[oracle.hole, oracle.feather_px] = _value_of(found, "seam_at_hole")
    return seams


def _value_of(found: Sequence[Finding], key: str) -> float:
    return next(one.estimate.value for one in found if one.key == key)


def _write(
    folder: Path,
    measurements: Measurements,
    infillers: Mapping[str, Infiller],
    oracles: Sequence[str],
    facts: Mapping[str, Any],
) -> list[str]:
    """Write tables and pictures; return all verdicts on infillers."""
    measures, spectra = measures_table(measurements.findings), spectra_table(measurements.spectra)
    references = [*REFERENCES, *oracles]
    judged: list[dict[str, Any]] = [
        {
            "name": name,
            "method": one.method,
            "fingerprint": one.fingerprint,
            "hole": str(one.hole),
            "feather_px": one.feather_px,
            "class_painted": class_verdict(measures, name),
            "verdicts": verdicts_of(measures, name),
        }
        for name, one in infillers.items()
    ]
    flat = {name: flat_measures(measures, name) for name in (*infillers, *oracles)}
    content = {"infillers": judged, "references": references, "measures": flat, **facts}
    table = verdicts_side_by_side(measures, list(infillers), references, measurements.settings.confidence)
    measures.to_parquet(folder / "measures.parquet", index=False)
    spectra.to_parquet(folder / "spectra.parquet", index=False)
    measurements.fill_table().to_parquet(folder / "fills.parquet", index=False)
    write_atomically(folder / "table.csv", to_csv(measures))
    write_atomically(folder / "table.txt", table)
    write_atomically(folder / "judgement.json", json.dumps(content, indent=2) + "\n")
    write_atomically(folder / "spectra.png", draw_spectra(spectra))
    write_atomically(folder / "contact_sheet.png", contact_sheet(measurements.cases, measurements.shown))
    return [verdict for one in judged for verdict in one["verdicts"].values()]
