"""A few cases of each finding as small pictures: the mammogram with the outlines of its masks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.audit.audit import Audit
from mammofill.audit.findings import Case, Finding
from mammofill.audit.settings import reading_limits
from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import StoredImage, decode_png, read_tiff, resample, resample_mask
from mammofill.ground.processes import in_processes
from mammofill.ground.progress import Progress
from mammofill.mammograms.prepare import prepare_alone
from mammofill.mammograms.reading import read_image
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import MammogramEntry

_ROWS = 400
"""Height of a picture on the page, in pixels."""

_COLOURS = {"benign": (86, 180, 233), "malignant": (255, 160, 0)}
"""Colours of outlines, red-green-blue; distinguishable with most kinds of colour vision (Okabe and Ito, 2008)."""

_NOTHING_TO_SEE = (
    "patients-in-several-splits",
    "rows-without-split",
    "rows-repeated",
    "cells-empty",
    "several-lesions",
)
"""Findings about tables, which pictures would not explain."""

_MOST_FILES = 2


@dataclass(frozen=True)
class Example:
    """One case as shown: pictures side by side, and a caption below."""

    pictures: tuple[bytes, ...]
    """JPEG."""
    words: str


def draw_examples(audit: Audit, per_finding: int, progress: Progress) -> dict[str, list[Example]]:
    """Draw some cases of each finding.

    Args:
        audit: the findings.
        per_finding: number of cases of each; the first ones, but a second case of a patient only after all patients.
        progress: notified after each mammogram.

    Returns:
        Examples by the finding's short name.
    """
    entries = {entry.mammogram_id: entry for entry in audit.entries}
    chosen = {one.finding: _choose(one, per_finding) for one in audit.found if one.finding not in _NOTHING_TO_SEE}
    needed = sorted({name for cases in chosen.values() for case in cases for name in case.mammogram_ids})
    with tempfile.TemporaryDirectory(prefix="mammofill-audit-") as scratch:
        folder = Path(scratch)
        draw = partial(_draw, audit.source, folder, audit.ingest_settings)
        jobs = [entries[name] for name in needed]
        limits, workers = reading_limits(audit.settings), audit.settings.workers
        with progress.task("drawing pictures", len(jobs)) as task:
            for _ in in_processes(draw, jobs, workers, limits):
                task.advance()
        return {
            finding: [example for case in cases if (example := _example(case, folder)).pictures]
            for finding, cases in chosen.items()
        }


def _choose(finding: Finding, count: int) -> list[Case]:
    shown = [case for case in finding.cases if case.mammogram_ids]
    first_of_patient = {case.patient_id or case.what: case for case in reversed(shown)}
    first = [case for case in shown if first_of_patient[case.patient_id or case.what] is case]
    others = [case for case in shown if first_of_patient[case.patient_id or case.what] is not case]
    return [*first, *others][: max(count, 0)]


def _example(case: Case, folder: Path) -> Example:
    names = [*case.mammogram_ids]
    if case.lesion_id is not None:
        names += [f"{case.lesion_id}-file-{number}" for number in range(_MOST_FILES)]
    paths = [folder / f"{name}.jpg" for name in names]
    return Example(tuple(path.read_bytes() for path in paths if path.is_file()), f"{case.what}: {case.words}")


def _draw(source: Path, folder: Path, settings: IngestSettings, entry: MammogramEntry) -> None:
    """Draw one mammogram with its outlines, and beside it the files of its lesions that have no mask."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = prepare_alone(source, entry, settings, Path(scratch))
        if not made.mammograms:
            return
        image = read_tiff(Path(scratch) / "images" / f"{entry.mammogram_id}.tiff")
        masks = {
            lesion["lesion_id"]: decode_png((Path(scratch) / "masks" / f"{lesion['lesion_id']}.png").read_bytes()) > 0
            for lesion in made.lesions
        }
        (folder / f"{entry.mammogram_id}.jpg").write_bytes(_picture(image, made.lesions, masks))
    with_fault = {exclusion.what for exclusion in made.exclusions} | {decision.what for decision in made.decisions}
    for lesion in entry.lesions:
        if lesion.lesion_id in with_fault and isinstance(lesion.place, tuple):
            for number, path in enumerate(lesion.place[:_MOST_FILES]):
                _draw_file(path, folder / f"{lesion.lesion_id}-file-{number}.jpg")


def _draw_file(path: Path, drawn: Path) -> None:
    try:
        image = read_image(path, None, "none").pixels
    except ImageFileError:
        return  # the case itself reports that it cannot be read
    drawn.write_bytes(_picture(image, (), {}))


def _picture(image: StoredImage, lesions: Iterable[Mapping[str, Any]], masks: Mapping[str, NDArray[np.bool_]]) -> bytes:
    """Return a JPEG: gray between the 0.5th and the 99.5th percentile, with the outline of each mask."""
    scale = min(1.0, _ROWS / max(image.shape))
    shape = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    small = resample(image, shape).astype(np.float64)
    low, high = np.percentile(small, [0.5, 99.5])
    if high <= low:  # such as a mask that marks very few pixels
        low, high = float(small.min()), float(max(small.max(), small.min() + 1))
    gray = np.rint(np.clip((small - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    shown: NDArray[Any] = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    for lesion in lesions:
        whole = np.zeros(image.shape, np.bool_)
        top, left, height, width = (lesion[name] for name in ("top", "left", "height", "width"))
        whole[top : top + height, left : left + width] = masks[lesion["lesion_id"]]
        contours, _ = cv2.findContours(
            resample_mask(whole, shape).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        colour = _COLOURS[lesion["pathology"]]
        shown = cv2.drawContours(shown, contours, -1, colour[::-1], 2, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
