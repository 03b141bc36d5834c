"""The stage that exports an infiller: weights, settings, a model card, in the layout that medigan requires."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import mammofill
from mammofill.export.cards import TO_FILL, measures_of, model_card
from mammofill.export.infiller_package import InfillerPackage
from mammofill.export.settings import ExportInfillerSettings
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, begin, fingerprint_of, verify, write_atomically
from mammofill.ground.errors import ArtifactError, MammofillError
from mammofill.ground.imaging import encode_png, resample, to_uint16
from mammofill.ground.progress import Progress, quiet
from mammofill.infilling import Infiller
from mammofill.phantom import PhantomSettings, draw_patient

_HANDED_OUT = ("network.json", "weights.safetensors", "history.csv")
"""What painting needs, and the losses. Previews show patients' lesions, and the discriminator paints nothing."""

_CHECK = """
import importlib, json, sys
entry = json.load(open("medigan.json"))
(model_id, description), = entry.items()
run = description["execution"]
package = importlib.import_module(f"models.{model_id}.{run['package_name']}")
weights = f"models/{model_id}/{run['package_name']}/{run['model_name']}{run['extension']}"
fills = getattr(package, run["generate_method"]["name"])(
    model_file=weights, num_samples=1, output_path="out", save_images=False)
assert fills[0].shape == tuple(run["image_size"]), fills[0].shape
"""
"""Loads and calls a package as medigan does, from ``models/<model id>/<package name>``."""


def export_infiller(
    infiller: Infiller,
    out: str | Path,
    settings: ExportInfillerSettings = ExportInfillerSettings(),
    *,
    judgement: Artifact | None = None,
    seed: int = 0,
    progress: Progress = quiet,
) -> InfillerPackage:
    """Make a package of an infiller that others can load, and load it once in a process of its own.

    Args:
        infiller: which.
        out: folder of the package.
        settings: name, creator, licence.
        judgement: what `judge_infiller` measured of it, for the card.
        seed: decides nothing; stages have one.
        progress: notified of each step.

    Returns:
        The package.

    Raises:
        ArtifactError: the infiller keeps lesions of patients as they are, or the judgement is not about it.
        MammofillError: the package cannot be loaded or does not paint; the message says what went wrong.
    """
    if not (infiller.folder / "weights.safetensors").is_file():
        raise ArtifactError(
            f"{infiller.folder} paints by {infiller.method}, which has no weights to export: what it keeps are "
            "pieces of patients' mammograms, or nothing. Export an infiller that was trained."
        )
    try:
        measures_of(infiller, judgement)
    except KeyError as error:
        found = f"The judgement in {judgement.folder if judgement else ''} is not about the infiller {infiller.folder}."
        raise ArtifactError(f"{found} Judge this one with judge-infiller, or leave the judgement out.") from error
    inputs: dict[str, Artifact] = {"infiller": infiller} | ({"judgement": judgement} if judgement else {})
    with begin(
        out, kind=InfillerPackage.kind, stage="export-infiller", settings=settings, seed=seed, inputs=inputs
    ) as work:
        if work is not None:
            verify(infiller)
            package = work.folder / settings.name
            package.mkdir(exist_ok=True)
            _write_infiller(package, infiller)
            _write_examples(package / "images", infiller.size_px)
            shutil.copyfile(Path(__file__).with_name("medigan_entry.py"), package / "__init__.py")
            write_atomically(package / "README.md", model_card(infiller, settings, judgement))
            write_atomically(package / "LICENSE", f"{settings.licence or TO_FILL}\n")
            model_id = f"00000_{infiller.method.upper().replace('-', '')}_MMG_LESION_ROI"
            entry = _medigan_entry(infiller, settings, judgement)
            write_atomically(work.folder / "medigan.json", json.dumps({model_id: entry}, indent=2) + "\n")
            progress.say("loading the package in a process of its own")
            _check_loads(work.folder, settings.name, model_id)
            work.finish({"patients": len(infiller.manifest.learned_patients()), **infiller.classes_learned})
    return InfillerPackage.open(out)


def _write_infiller(package: Path, infiller: Infiller) -> None:
    """Write the files that painting needs, and a manifest that lists no others."""
    names = [name for name in infiller.manifest.files if name in _HANDED_OUT]
    for name in names:
        shutil.copyfile(infiller.folder / name, package / name)
    fingerprint, files, hashes = fingerprint_of(package, names)
    manifest = replace(infiller.manifest, files=files, hashes=hashes, fingerprint=fingerprint)
    write_atomically(package / MANIFEST_NAME, json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n")


def _write_examples(folder: Path, size_px: int) -> None:
    """Write practice patches for a first try, from the middle of drawn breasts, each with a round mask."""
    folder.mkdir(exist_ok=True)
    rows, columns = np.indices((size_px, size_px)) - (size_px - 1) / 2
    mask = np.hypot(rows, columns * 1.3) <= size_px / 7
    for number in range(2):
        view = draw_patient(number, PhantomSettings(height_px=512, width_px=320))[0]
        lesions = np.logical_or.reduce(view.lesions)
        middle = np.argwhere(view.breast & ~lesions).mean(axis=0)
        side = 128
        top, left = (
            int(np.clip(place - side / 2, 0, end - side)) for place, end in zip(middle, view.image.shape, strict=True)
        )
        patch = resample(to_uint16(view.image[top : top + side, left : left + side]), (size_px, size_px))
        write_atomically(folder / f"practice-{number}.png", encode_png(patch))
        write_atomically(folder / f"practice-{number}_mask.png", encode_png(mask))


def _medigan_entry(infiller: Infiller, settings: ExportInfillerSettings, judgement: Artifact | None) -> dict[str, Any]:
    """Return the entry of an infiller in medigan's list of models.

    Source: config/template.json and docs/source/adding_models.rst of github.com/RichardObi/medigan.
    """
    size = infiller.size_px
    unknown = dict.fromkeys(("SSIM", "MSE", "NSME", "PSNR", "IS", "FID", "turing_test"))
    custom = {"input_path": None, "pathology": "both", "seed": None, "gpu_id": None}
    measures = measures_of(infiller, judgement)
    performance = unknown | {
        name: one["value"] for name, one in measures.items() if isinstance(one["value"], int | float)
        and math.isfinite(one["value"])
    }  # fmt: skip
    return {
        "execution": {
            "package_name": settings.name,
            "package_link": TO_FILL,
            "model_name": "weights",
            "extension": ".safetensors",
            "image_size": [size, size],
            "dependencies": [f"mammofill>={mammofill.__version__}"],
            "generate_method": {
                "name": "generate",
                "args": {
                    "base": ["model_file", "num_samples", "output_path", "save_images"],
                    "custom": custom,
                },
            },
        },
        "selection": {
            "performance": performance,
            "use_cases": ["classification"],
            "organ": ["breast", "breasts", "chest"],
            "modality": ["mammography", "MMG", "x-ray"],
            "vendors": [],
            "centres": [],
            "function": ["inpainting", "image-to-image", "conditional generation"],
            "condition": list(infiller.classes_learned),
            "dataset": [settings.data] if settings.data else [],
            "augmentations": [],
            "generates": ["lesions", "patches", "regions of interest", "masks"],
            "height": size,
            "width": size,
            "depth": None,
            "type": infiller.method,
            "license": settings.licence or TO_FILL,
            "dataset_type": TO_FILL,
            "privacy_preservation": None,
            "tags": ["mammography", "inpainting", "mammofill"],
            "year": None,
        },
        "description": {
            "title": f"{settings.name}: benign and malignant lesions painted into patches of healthy breast",
            "provided_date": TO_FILL,
            "trained_date": TO_FILL,
            "provided_after_epoch": None,
            "version": infiller.manifest.package_version,
            "publication": None,
            "doi": [],
            "comment": f"Fingerprint as trained: {infiller.fingerprint}",
        },
    }


def _check_loads(folder: Path, name: str, model_id: str) -> None:
    """Load a package as medigan does and paint once, in a new interpreter and an empty folder."""
    with tempfile.TemporaryDirectory() as place:
        models = Path(place, "models", model_id)
        models.mkdir(parents=True)
        shutil.copytree(folder / name, models / name)
        shutil.copyfile(folder / "medigan.json", Path(place, "medigan.json"))
        done = subprocess.run(
            [sys.executable, "-c", _CHECK], cwd=place, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MammofillError(f"The package of {folder} cannot be loaded and called as medigan does: {last[0]}")
