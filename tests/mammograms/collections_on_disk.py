"""Small collections written as their publishers do, with the nasty variants in them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mammofill import dicom

ROWS, COLUMNS = 60, 40
HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)
CALC_HEADER = HEADER.replace("breast_density", "breast density").replace("mass shape", "calc type")
CALC_HEADER = CALC_HEADER.replace("mass margins", "calc distribution")

Layout = Literal["tables", "tcia", "nbia", "series", "one folder", "jpeg"]
LAYOUTS: tuple[Layout, ...] = ("tables", "tcia", "nbia", "series", "one folder", "jpeg")


@dataclass(frozen=True)
class Case:
    """One row of a CBIS-DDSM table, and what its files are like."""

    patient: str = "P_00001"
    side: str = "LEFT"
    view: str = "CC"
    number: int = 1
    pathology: str = "MALIGNANT"
    split: str = "train"
    kind: str = "mass"
    swapped: bool = False
    separate: bool = False  # mask and crop in series of their own
    described: bool = True
    mask_shape: tuple[int, int] = (ROWS, COLUMNS)
    empty_mask: bool = False
    without: str = ""  # "image", "mask" (no file of the lesion), "mask alone" or "crop": the file is not there
    truncated: bool = False
    truncated_mask: bool = False
    picture: np.ndarray | None = field(default=None, compare=False)
    mask: np.ndarray | None = field(default=None, compare=False)
    crop: np.ndarray | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        words = {"train": "Training", "test": "Test"}
        return f"{self.kind.capitalize()}-{words[self.split]}_{self.patient}_{self.side}_{self.view}"

    @property
    def lesion(self) -> str:
        return f"{self.name}_{self.number}"


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


FILM_ROWS, FILM_COLUMNS = 300, 180
"""Size of `film`: large enough for a cut-out to have one place."""


def film(seed: int = 0, rows: int = FILM_ROWS, columns: int = FILM_COLUMNS) -> np.ndarray:
    """Draw half a disc of grain and broad shades on an even dark background."""
    grain = np.random.default_rng(seed).normal(0, 1, (rows, columns))
    shades = cv2.GaussianBlur(grain, (0, 0), 15) * 30000 + cv2.GaussianBlur(grain, (0, 0), 1) * 4000
    down, across = np.ogrid[-1 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    breast = down**2 + (across / 0.8) ** 2 < 1
    return np.where(breast, np.clip(24000 + shades, 8000, 60000), 500).astype(np.uint16)


def ellipse(box: tuple[int, int, int, int], shape: tuple[int, int] = (FILM_ROWS, FILM_COLUMNS)) -> np.ndarray:
    """Draw the mask that fills a box (top, left, height, width)."""
    top, left, height, width = box
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down, across = (rows - top - (height - 1) / 2) / (height / 2), (columns - left - (width - 1) / 2) / (width / 2)
    return np.asarray(down**2 + across**2 <= 1)


def cut(array: np.ndarray, box: tuple[int, int, int, int], margin: int = 0) -> np.ndarray:
    top, left, height, width = box
    return array[top - margin : top + height + margin, left - margin : left + width + margin]


def write_cbis(folder: Path, cases: list[Case], layout: Layout = "tables", kinds: tuple[str, ...] = ("mass",)) -> Path:
    """Write tables and images in one of the layouts in which the collection is found."""
    rows: dict[tuple[str, str], list[str]] = {(kind, split): [] for kind in kinds for split in ("train", "test")}
    info = ["file_path,image_path,PatientID,SeriesDescription,SeriesInstanceUID"]
    for case in cases:
        picture = breast_picture() if case.picture is None else case.picture
        mask = lesion_mask(case) if case.mask is None else case.mask
        crop = breast_picture()[5:20, 3:20] if case.crop is None else case.crop
        mask_number = 0 if case.separate or case.swapped else 1
        crop_number = 0 if case.separate else 1 - mask_number
        image_file = _File(case.name, "full mammogram images", 0, layout)
        mask_file = _File(case.lesion, "ROI mask images", mask_number, layout)
        crop_file = _File(case.lesion, "cropped images", crop_number, layout, own_series=case.separate)
        writes = [
            (image_file, picture, 16, case.without != "image", case.truncated),
            (
                mask_file,
                mask.astype(np.uint8) * 255,
                8,
                case.without not in ("mask", "mask alone"),
                case.truncated_mask,
            ),
            (crop_file, crop, 16, case.without not in ("mask", "crop"), False),
        ]
        for file, pixels, bits, there, truncated in writes:
            if there:
                info.append(file.write(folder, pixels, case, bits))
                if truncated:
                    whole = (folder / file.path).read_bytes()
                    (folder / file.path).write_bytes(whole[: len(whole) // 2])
        first, second = (mask_file, crop_file) if case.swapped else (crop_file, mask_file)
        rows[case.kind, case.split].append(
            f"{case.patient},3,{case.side},{case.view},{case.number},"
            f"{'mass' if case.kind == 'mass' else 'calcification'},OVAL,CIRCUMSCRIBED,4,{case.pathology},4,"
            f'{image_file.in_table},{first.in_table},"{second.in_table}\n"'
        )
    tables = folder / "csv" if layout == "jpeg" else folder
    tables.mkdir(parents=True, exist_ok=True)
    for (kind, split), lines in rows.items():
        header = HEADER if kind == "mass" else CALC_HEADER
        table = tables / f"{kind}_case_description_{split}_set.csv"
        table.write_bytes("\r\n".join([header, *lines, ""]).encode())
    if layout == "jpeg":
        (tables / "dicom_info.csv").write_text("\n".join(info))
    return folder


@dataclass(frozen=True)
class _File:
    """One file, and where it lies in a layout."""

    name: str
    description: str
    number: int
    layout: Layout
    own_series: bool = False

    @property
    def uids(self) -> tuple[str, str]:
        """Study and series."""
        study, series = (
            f"1.3.6.1.4.1.9590.100.1.2.{zlib.crc32(f'{self.name}{self.own_series}{what}'.encode())}"
            for what in ("study", "series")
        )
        return study, series

    @property
    def in_table(self) -> str:
        return f"{self.name}/{self.uids[0]}/{self.uids[1]}/{self.number:06d}.dcm"

    @property
    def path(self) -> Path:
        study, series = self.uids
        tail = series[-5:]
        return Path({
            "tables": self.in_table,
            "tcia": f"CBIS-DDSM/{self.name}/07-20-2016-DDSM-NA-{study[-5:]}/1.000000-{self.description}-{tail}/"
            f"1-{self.number + 1}.dcm",
            "nbia": f"CBIS-DDSM/{self.name}/{study}/{series}/{series}.{self.number}",  # no .dcm
            "series": f"{series}/1-{self.number + 1}.dcm",
            "one folder": f"all/{zlib.crc32(self.in_table.encode()):08x}.dcm",
            "jpeg": f"jpeg/{series}/{self.number + 1}-263.jpg",
        }[self.layout])  # fmt: skip

    def write(self, folder: Path, pixels: np.ndarray, case: Case, bits: int) -> str:
        """Write the file, and return its row of dicom_info.csv."""
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        study, series = self.uids
        if self.layout == "jpeg":
            eight = pixels if bits == 8 else np.rint(pixels / max(int(pixels.max()), 1) * 255).astype(np.uint8)
            cv2.imwrite(str(path), eight, [cv2.IMWRITE_JPEG_QUALITY, 95])
        else:
            dicom.write_image(
                path,
                pixels,
                patient_id=self.name,
                uid_names=(self.name, self.description, str(self.number)),
                bits=bits,
                series_description=self.description if case.described else "",
                study_uid=study,
                series_uid=series,
            )
        description = self.description if case.described else ""
        return f"CBIS-DDSM/dicom/{series}/x.dcm,CBIS-DDSM/{self.path.as_posix()},{self.name},{description},{series}"


def write_mini_mias(folder: Path, lines: list[str], names: list[str]) -> Path:
    (folder / "Info.txt").write_text("INFORMATION:\n\n" + "\n".join(lines) + "\n")
    for number, name in enumerate(names):
        picture = np.zeros((1024, 1024), np.uint8)
        picture[:512, :600], picture[512:, :600] = 80, 100  # one shade alone would be a mask
        picture[-1, -1] = number  # no two are the same
        cv2.imwrite(str(folder / f"{name}.pgm"), picture)
    return folder
