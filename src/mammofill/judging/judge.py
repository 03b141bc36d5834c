"""Measuring whether infillers paint lesions: the stage `judge_infiller`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammofill.classifier import Classifier
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.csv_export import to_csv
from mammofill.ground.memory import freed_memory_kept
from mammofill.ground.progress import Progress, quiet
from mammofill.infilling import Infiller
from mammofill.judging.cases import CHUNK, choose_cases, choose_real
from mammofill.judging.checks import check_inputs
from mammofill.judging.court import Court
from mammofill.judging.detection import spectra_table
from mammofill.judging.judgement import Judgement
from mammofill.judging.pictures import contact_sheet, draw_spectra
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.table import measures_table, method_of, names_of, verdicts_of, verdicts_side_by_side
from mammofill.judging.verdict import VERDICTS
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet


def judge_infiller(
    infillers: Sequence[Infiller],
    classifier: Classifier,
    patches: PatchSet,
    pairs: Pairs,
    out: str | Path,
    settings: JudgeInfillerSettings = JudgeInfillerSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> Judgement:
    """Fill pairs whose patients nobody learned from, and measure the fills beside real lesions of the same split.

    Args:
        infillers: who is judged, all on the same pairs and seeds.
        classifier: whose opinion of the class counts. It learned from real patches only.
        patches: the patches that the pairs were made from.
        pairs: of a split from which neither infillers nor classifier learned, as ``pair-patches --split test`` makes.
        out: folder of the judgement.
        settings: how many, and what is wanted.
        seed: decides which pairs, the seeds of the fills, folds and resamples.
        progress: told of each fill.
        device: where networks run.

    Returns:
        The judgement. A run that was killed goes on with the fills that it had made.

    Raises:
        LeakError: a patient whose tissue, outline or lesion is used shaped an infiller or the classifier.
        ArtifactError: the pairs were made from other patches or are of several splits; sizes differ; the classifier
            learned from generated patches; there is no infiller, or one is given twice.
        TooFewError: an infiller learned from one class only; a class or too many patients are missing in the split.
        DeviceError: the device is not there.
    """
    split = check_inputs(infillers, classifier, patches, pairs)
    cases = choose_cases(pairs, patches, settings, seed)
    real = choose_real(patches, split, settings, seed)

    from mammofill.ground.training import find_device

    find_device(device)
    with (
        freed_memory_kept(device),
        begin(
            out,
            kind=Judgement.kind,
            stage="judge-infiller",
            settings=settings,
            seed=seed,
            inputs={"infillers": list(infillers), "classifier": classifier, "patches": patches, "pairs": pairs},
            device=device,
        ) as work,
    ):
        if work is not None:
            names = names_of(infillers)
            court = Court(classifier, cases, real, patches, settings, seed, device)
            again = min(settings.variety_cases, len(cases)) * settings.seeds_per_case
            total = len(infillers) * (2 * len(cases) + len(real) + again + CHUNK) + CHUNK
            with progress.task("filling and measuring", total) as task:
                court.look_at_references(max(one.feather_px for one in infillers))
                task.advance(CHUNK, "real lesions")
                for number, (infiller, name) in enumerate(zip(infillers, names, strict=True)):
                    court.judge(infiller, name, work.scratch / f"{number:02d}", task)
                    task.advance(CHUNK, name)

            folder, measures, spectra = work.folder, measures_table(court.findings), spectra_table(court.spectra)
            measures.to_parquet(folder / "measures.parquet", index=False)
            write_atomically(folder / "table.csv", to_csv(measures))
            write_atomically(folder / "table.txt", verdicts_side_by_side(measures, names, settings.confidence))
            court.fill_table().to_parquet(folder / "fills.parquet", index=False)
            spectra.to_parquet(folder / "spectra.parquet", index=False)
            write_atomically(folder / "spectra.png", draw_spectra(spectra))
            write_atomically(folder / "contact_sheet.png", contact_sheet(cases, court.shown))
            judged: list[dict[str, Any]] = [
                {
                    "name": name,
                    "method": method_of(one),
                    "fingerprint": one.fingerprint,
                    "feather_px": one.feather_px,
                    "verdicts": verdicts_of(measures, name),
                }
                for one, name in zip(infillers, names, strict=True)
            ]
            facts = {
                "infillers": judged,
                "classifier": {"label": classifier.label, "fingerprint": classifier.fingerprint},
                "split": split,
                "confidence": settings.confidence,
                "copy_threshold": court.learned.threshold,
                "training_lesions": len(court.learned.prints),
            }
            write_atomically(folder / "judgement.json", json.dumps(facts, indent=2) + "\n")
            given = [verdict for one in judged for verdict in one["verdicts"].values()]
            people = {*cases.contexts.people.ravel(), *real.people.ravel()}
            sizes = {"infillers": len(judged), "pairs": len(cases), "real_lesions": len(real), "patients": len(people)}
            work.finish({**sizes, **{verdict.replace(" ", "_"): given.count(verdict) for verdict in VERDICTS}})
    return Judgement.open(out)
