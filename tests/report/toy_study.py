"""A small finished study, made of folders only: no network is trained for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mammofill.evaluation import EvaluateSettings, Evaluation
from mammofill.evaluation.attention import ATTENTION_COLUMNS
from mammofill.evaluation.evaluate import measure_scores
from mammofill.ground.artifact import Artifact, begin, read_manifest, write_atomically
from mammofill.ground.imaging import encode_png
from mammofill.ground.seeding import stream
from mammofill.judging import Judgement
from mammofill.judging.judgement import MEASURE_COLUMNS
from mammofill.patches import PatchSet, write_shard

SIZE_PX = 32
SCRIPT = "ResNet-50 <script>alert(1)</script> & co"


@dataclass(frozen=True)
class Toy:
    rate: float = 0.5
    name: str = ""


def make(folder: Path, kind: str, inputs: Mapping[str, Any], files: Mapping[str, Any], **counts: int) -> Artifact:
    with begin(folder, kind=kind, stage=f"toy-{kind}", settings=Toy(), seed=3, inputs=inputs) as work:
        assert work is not None
        for name, content in files.items():
            path = work.folder / name
            path.parent.mkdir(exist_ok=True)
            if isinstance(content, pd.DataFrame):
                content.to_parquet(path, index=False)
            else:
                write_atomically(path, content)
        work.finish(counts)
    return Artifact(folder, read_manifest(folder))


def make_mammograms(folder: Path, patients: int = 40, spacing_mm: float = 0.1) -> Artifact:
    """The mammograms of the patients of `make_evaluation`: a lesion each, of which every other one is malignant."""
    numbers = np.arange(patients)
    mammograms = pd.DataFrame(
        {
            "mammogram_id": [f"image-{k}" for k in numbers],
            "patient_id": [f"patient-{k}" for k in numbers],
            "view": np.where(numbers % 4 < 2, "cc", "mlo"),
            "spacing_mm": spacing_mm,
            "density": "2",
            "split": "test",
        }
    )
    lesions = pd.DataFrame(
        {
            "lesion_id": [f"lesion-{k}" for k in numbers],
            "mammogram_id": mammograms["mammogram_id"],
            "patient_id": mammograms["patient_id"],
            "pathology": np.where(numbers % 2 == 0, "malignant", "benign"),
            "abnormality": "mass",
            "height": np.where(numbers < 4, 250, 80),
            "width": 60,
            "area_px": 100 + numbers,
        }
    )
    exclusions = pd.DataFrame({"what": ["x", "y"], "patient_id": ["p", "p"], "rule": ["file-missing"] * 2, "found": ""})
    tables = {"mammograms": mammograms, "lesions": lesions, "exclusions": exclusions}
    files = {f"{name}.parquet": table for name, table in tables.items()}
    return make(folder, "mammograms", {}, files, mammograms=patients)


def make_patches(folder: Path, rows: list[dict[str, Any]], inputs: Mapping[str, Any]) -> PatchSet:
    with begin(folder, kind="patches", stage="toy-patches", settings=Toy(), seed=0, inputs=inputs) as work:
        assert work is not None
        random = stream(0, folder.name)
        images = [random.integers(0, 65535, (SIZE_PX, SIZE_PX)).astype(np.uint16) for _ in rows]
        masks = [np.zeros((SIZE_PX, SIZE_PX), bool) for _ in rows]
        for row, mask in zip(rows, masks, strict=True):
            mask[8:20, 10:24] = row["pathology"] != "normal"
        breasts = [np.ones_like(mask) for mask in masks]
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, breasts)
        dropped = pd.DataFrame({"reason": ["too-little-breast"], "split": ["train"], "count": [1234]})
        dropped.to_parquet(work.folder / "dropped.parquet", index=False)
        work.finish({"patches": len(rows)})
    return PatchSet.open(folder)


def patch_row(number: int, pathology: str, split: str = "train", **more: Any) -> dict[str, Any]:
    row = {
        "patch_id": f"{split}-{pathology}-{number}",
        "patient_id": f"{split}-{number}",
        "mammogram_id": "m",
        "top": 0,
    }
    row |= {"left": 0, "height": SIZE_PX, "width": SIZE_PX, "pathology": pathology, "split": split, "origin": "real"}
    return row | {"abnormality": "mass", "lesion_ids": "", "breast_share": 1.0} | more


def make_evaluation(
    folder: Path,
    arm: str,
    skill: float,
    inputs: Mapping[str, Any],
    *,
    test_set: str = "a" * 64,
    patients: int = 40,
    noise: str = "shared",
    replicate: int = 0,
    dose: float | None = None,
    real_share: float = 1.0,
    looks_inside: float | None = None,
    label: str = "Shallow CNN, random start",
) -> Evaluation:
    """Scores whose malignant patches lie `skill` standard deviations above the benign ones.

    With `looks_inside`, maps of which about so much lies inside the lesion, and a quarter along its outline.
    """
    malignant = np.arange(patients) % 2 == 0
    logits = stream(1, noise).standard_normal(patients) + skill * malignant
    scores = pd.DataFrame(
        {
            "patch_id": [f"patch-{k}" for k in range(patients)],
            "patient_id": [f"patient-{k}" for k in range(patients)],
            "pathology": np.where(malignant, "malignant", "benign"),
            "lesion_ids": [f"lesion-{k}" for k in range(patients)],
            "logit": logits,
            "score": expit(logits),
        }
    )
    settings = EvaluateSettings(resamples=200)
    facts = {
        "arm": arm,
        "label": label,
        "threshold": 0.6,
        "test_set": test_set,
        "confidence": 0.95,
        "replicate": replicate,
        "dose": dose,
        "real_share": real_share,
    }
    with begin(folder, kind="evaluation", stage="evaluate", settings=settings, seed=0, inputs=inputs) as work:
        assert work is not None
        scores.to_parquet(work.folder / "scores.parquet", index=False)
        measure_scores(scores, float(logit(0.6)), settings, 0).to_parquet(work.folder / "metrics.parquet", index=False)
        write_atomically(work.folder / "evaluation.json", json.dumps(facts))
        if looks_inside is not None:
            inside = looks_inside + 0.01 * stream(2, noise).standard_normal(patients)
            answers = {"peak_inside": 1.0, "energy_inside": inside, "energy_ring": 0.25, "ring_habit": 0.25}
            chances = dict.fromkeys(("peak_area", "peak_habit", "mask_share", "energy_habit", "ring_share"), 0.1)
            looked = scores[["patch_id", "patient_id", "pathology"]].assign(**answers, **chances)
            looked[list(ATTENTION_COLUMNS)].to_parquet(work.folder / "attention.parquet", index=False)
        benign = int((~malignant).sum())
        work.finish({"benign_patches": benign, "malignant_patches": int(malignant.sum()), "patients": patients})
    return Evaluation.open(folder)


def make_study(folder: Path, arms: Mapping[str, float]) -> list[Evaluation]:
    """Make everything from mammograms to evaluations."""
    folder.mkdir(parents=True, exist_ok=True)
    mammograms = make_mammograms(folder / "mammograms")
    kinds = ("normal", "benign", "malignant")
    rows = [patch_row(k, kind, split) for split in ("train", "test") for kind in kinds for k in range(4)]
    patches = make_patches(folder / "patches", rows, {"mammograms": mammograms})
    unpaired = pd.DataFrame({"reason": ["try-hole-off-the-breast"], "count": [77]})
    pairs = make(folder / "pairs", "pairs", {"patches": patches}, {"unpaired.parquet": unpaired}, pairs=4)
    history = "images_seen,generator.class,discriminator.class\n100,1,0.5\n200,0.5,0.25\n300,0.3,0.2\n"
    preview = encode_png(np.full((20, 100), 90, np.uint8))
    files = {"history.csv": history, "previews/00000300.png": preview}
    infiller = make(folder / "infiller", "infiller", {"patches": patches, "pairs": pairs}, files)
    fills = [
        patch_row(
            k,
            kind,
            patch_id=f"fill-{kind}-{k}",
            origin="synthetic",
            context_patch_id=f"train-normal-{k}",
            mask_donor_patch_id=f"train-{kind}-{k}",
            mask_donor_patient_id=f"train-{k}",
            seed=k,
        )
        for kind in kinds[1:]
        for k in range(2)
    ]
    synthetic = make_patches(folder / "synthetic", fills, {"infiller": infiller, "pairs": pairs, "patches": patches})
    evaluations = []
    for number, (arm, skill) in enumerate(arms.items()):
        history = f"images_seen,epoch,loss,validation_loss\n10,1,{0.7 + number},0.8\n"
        name = f"classifier-{number}"
        sets = [patches, synthetic] if number else [patches]
        classifier = make(folder / name, "classifier", {"patches": sets}, {"history.csv": history})
        inputs = {"classifier": classifier, "patches": patches}
        evaluations.append(make_evaluation(folder / f"evaluation-{number}", arm, skill, inputs))
    return evaluations


def make_judgement(folder: Path, name: str) -> Judgement:
    """A judgement of one infiller: a measure reached, one not reached, and one that cannot be judged."""
    rows = [
        _measured(name, "class", "malignant above benign", 0.93, low=0.88, high=0.97, wanted=">= 0.90",
                  verdict="reached", remark="the interval crosses the limit"),
        _measured(name, "variety", "copies of training lesions", 3, wanted="= 0", verdict="not reached"),
        _measured(name, "seam", "AUC", np.nan, wanted="<= 0.60", verdict="cannot be judged", remark="only 3 of a kind"),
        _measured("real lesions", "class", "AUC", 0.8, low=0.7, high=0.9),
    ]  # fmt: skip
    facts = {
        "infillers": [{"name": name, "method": "copy-paste", "class_painted": "reached", "fingerprint": ""}],
        "references": ["real lesions", "nothing painted"],
        "classifier": {"label": "Shallow CNN"},
        "split": "test",
        "confidence": 0.95,
    }
    picture = encode_png(np.full((20, 30), 90, np.uint8))
    files = {
        "measures.parquet": pd.DataFrame(rows).astype(MEASURE_COLUMNS),
        "judgement.json": json.dumps(facts),
        "table.txt": "for a console",
        "contact_sheet.png": picture,
        "spectra.png": picture,
    }
    phantoms = make(folder.with_name("phantoms"), "phantoms", {}, {"drawn.txt": "by their law"})
    make(folder, "judgement", {"phantoms": phantoms}, files, infillers=1, pairs=20, real_lesions=15, patients=12)
    return Judgement.open(folder)


def _measured(subject: str, criterion: str, measure: str, value: float, **more: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(MEASURE_COLUMNS, "")
    row |= {"subject": subject, "criterion": criterion, "measure": measure, "value": value}
    return row | {"low": np.nan, "high": np.nan, "cases": 40, "patients": 12, "words": "What it is."} | more
