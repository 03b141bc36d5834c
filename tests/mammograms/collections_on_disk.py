"""Small collections written as their publishers do, with the nasty variants in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mammofill import dicom

ROWS, COLUMNS = 60, 40
HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)


@dataclass(frozen=True)
class Case:
    """One row of a CBIS-DDSM table, and what its files are like."""

    patient: str = "P_00001"
    side: str = "LEFT"
    view: str = "CC"
    number: int = 1
    pathology: str = "MALIGNANT"
    split: str = "train"
    swapped: bool = False
    described: bool = True
    mask_shape: tuple[int, int] = (ROWS, COLUMNS)
    empty_mask: bool = False
    without: str = ""  # "image" or "mask": the file is not there
    truncated: bool = False

    @property
    def name(self) -> str:
        words = {"train": "Training", "test": "Test"}
        return f"Mass-{words[self.split]}_{self.patient}_{self.side}_{self.view}"


def breast_picture(seed: int = 0) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(2000, 4000, (ROWS, COLUMNS)).astype(np.uint16)
    picture[:, 30:] = 100
    return picture


def lesion_mask(case: Case) -> np.ndarray:
    mask = np.zeros(case.mask_shape, bool)
    if not case.empty_mask:
        top = 10 + 20 * (case.number - 1)
        mask[top : top + 8, 5:17] = True
    return mask


def write_cbis(folder: Path, cases: list[Case], layout: str = "tables") -> Path:
    """Write tables and DICOM files; layout tables has the paths of the tables, tcia those of today's downloads."""
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for case in cases:
        lesion = f"{case.name}_{case.number}"
        image_path, lesion_path = f"{case.name}/1.2/1.3", f"{lesion}/1.4/1.5"
        on_disk = {
            "tables": (folder / image_path, folder / lesion_path),
            "tcia": (
                folder / "CBIS-DDSM" / case.name / "08-07-2016-DDSM-1" / "1.000000-full mammogram images-2",
                folder / "CBIS-DDSM" / lesion / "08-07-2016-DDSM-1" / "1.000000-ROI mask images-2",
            ),
        }[layout]
        names = {"tables": ("000000.dcm", "000001.dcm"), "tcia": ("1-1.dcm", "1-2.dcm")}[layout]
        for place in on_disk:
            place.mkdir(parents=True, exist_ok=True)
        if case.without != "image":
            write(on_disk[0] / names[0], breast_picture(), case, "full mammogram images")
            if case.truncated:
                whole = (on_disk[0] / names[0]).read_bytes()
                (on_disk[0] / names[0]).write_bytes(whole[: len(whole) // 2])
        if case.without != "mask":
            mask_name, crop_name = names if case.swapped else names[::-1]
            write(on_disk[1] / mask_name, lesion_mask(case).astype(np.uint8) * 255, case, "ROI mask images", bits=8)
            write(on_disk[1] / crop_name, breast_picture()[5:20, 3:20], case, "cropped images")
        rows[case.split].append(
            f"{case.patient},3,{case.side},{case.view},{case.number},mass,OVAL,CIRCUMSCRIBED,4,{case.pathology},4,"
            f'{image_path}/000000.dcm,{lesion_path}/000000.dcm,"{lesion_path}/000001.dcm\n"'
        )
    for split, lines in rows.items():
        (folder / f"mass_case_description_{split}_set.csv").write_bytes("\r\n".join([HEADER, *lines, ""]).encode())
    return folder


def write(path: Path, pixels: np.ndarray, case: Case, description: str, bits: int = 16) -> None:
    dicom.write_image(
        path,
        pixels,
        patient_id=case.patient,
        uid_names=(str(path.parent.name), path.name),
        bits=bits,
        series_description=description if case.described else "",
    )


def write_mini_mias(folder: Path, lines: list[str], names: list[str]) -> Path:
    (folder / "Info.txt").write_text("INFORMATION:\n\n" + "\n".join(lines) + "\n")
    for name in names:
        picture = np.zeros((1024, 1024), np.uint8)
        picture[:, :600] = 90
        cv2.imwrite(str(folder / f"{name}.pgm"), picture)
    return folder
