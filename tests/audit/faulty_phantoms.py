"""Practice mammograms with faults put in, each where the tests know it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mammofill import dicom
from mammofill.phantom import PhantomSettings, write_phantoms

Change = Callable[[np.ndarray], np.ndarray]

SETTINGS = {"patients": 12, "height_px": 384, "width_px": 256, "test_share": 0.25, "monochrome1_share": 0.0}


def write_sound(folder: Path, layout: Any = "tcia") -> Path:
    """Write practice mammograms without any fault."""
    write_phantoms(folder, PhantomSettings(**SETTINGS, layout=layout), seed=5)  # type: ignore[arg-type]
    return folder


def write_faulty(folder: Path, layout: Any = "tcia") -> Path:
    """Write practice mammograms, and put in one fault of each kind."""
    write_sound(folder, layout)
    images = {name: image_of(folder, name) for name in mammograms(folder)}
    names = sorted(images)
    files = [images[name] for name in names]
    first, second, third, fourth, fifth, sixth, seventh = (files[2 * number] for number in range(7))

    copy_pixels(first, second, lambda image: np.rint((image / 65535) ** 0.8 * 65535).astype(np.uint16))
    copy_pixels(third, fourth, lambda image: image[:, ::-1])
    rewrite(fifth, lambda image: (image // 256 * 256).astype(np.uint16))
    rewrite(sixth, lambda image: np.minimum(image, np.quantile(image[image > 8000], 0.9)).astype(np.uint16))
    seventh.write_bytes(seventh.read_bytes()[:2000])

    lesions = sorted(name for name in folder.glob("CBIS-DDSM/*_1"))
    rewrite(mask_of(lesions[1]), np.zeros_like)
    rewrite(mask_of(lesions[3]), lambda mask: resized(mask, 1.5, 1.5))
    rewrite(mask_of(lesions[5]), lambda mask: resized(mask, 1.5, 1.2))
    rewrite(mask_of(lesions[7]), corner)
    stray = folder / "CBIS-DDSM" / "stray.dcm"
    dicom.write_image(stray, dicom.read_image(second), patient_id="somebody", uid_names=("stray",))
    return folder


def mammograms(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("CBIS-DDSM/*") if path.name.endswith(("_CC", "_MLO"))]


def image_of(folder: Path, name: str) -> Path:
    return next((folder / "CBIS-DDSM" / name).rglob("*.dcm"))


def mask_of(lesion: Path) -> Path:
    for path in sorted(lesion.rglob("*.dcm")):
        if len(np.unique(dicom.read_image(path))) == 2:
            return path
    raise AssertionError(f"{lesion} has no mask")


def copy_pixels(source: Path, target: Path, change: Change) -> None:
    image = dicom.read_image(source)
    rewrite(target, lambda _: change(image))


def rewrite(path: Path, change: Change) -> None:
    """Change the pixels of a DICOM file, and keep what its header says."""
    header = dicom.read_header(path)
    changed = np.ascontiguousarray(change(dicom.read_image(path)))
    dicom.write_image(
        path,
        changed,
        patient_id=header.patient_id or "",
        uid_names=(str(path),),
        bits=16,
        series_description=header.series_description or "",
        laterality=header.laterality or "",
        view=header.view or "",
        series_uid=header.series_uid,
    )


def resized(mask: np.ndarray, rows: float, columns: float) -> np.ndarray:
    size = (round(mask.shape[1] * columns), round(mask.shape[0] * rows))
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST))


def corner(mask: np.ndarray) -> np.ndarray:
    """Mark the corner away from the chest wall, where no breast is."""
    moved = np.zeros_like(mask)
    side = slice(-24, -4) if mask[:, : mask.shape[1] // 2].any() else slice(4, 24)
    moved[4:24, side] = 65535
    return moved
