"""Small collections of digital mammograms, in the layouts in which they are published."""

from __future__ import annotations

import csv
import io
import json
import plistlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mammofill import dicom

SHAPE = (60, 40)

INBREAST_HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
CESM_HEADER = [
    "Image_name",
    "Patient_ID",
    "Side",
    "Type",
    "Age",
    "Breast density (ACR)",
    "BIRADS",
    "Findings",
    "View",
    "Tags",
    "Machine",
    "Pathology Classification/ Follow up",
]
VIA_HEADER = [
    "#filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
]
VINDR_HEADER = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
    "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
)
CMMD_HEADER = "ID1,LeftRight,Age,number,abnormality,classification,subtype"

Rois = Sequence[tuple[str | None, Sequence[tuple[object, object]]]]
"""Names and (x, y) points."""


def breast() -> np.ndarray:
    picture = np.random.default_rng(1).integers(1000, 3000, SHAPE).astype(np.uint16)
    picture[:, 30:] = 20
    return picture


def write_inbreast(folder: Path, rows: Sequence[str], patients: Mapping[str, str], rois: Mapping[str, Rois]) -> Path:
    """Write rows "L;CC;22678622;4;1" (side, view, file, ACR, Bi-Rads), a DICOM file per patient named, and outlines."""
    release = folder / "INbreast Release 1.0"
    for name in ("AllDICOMs", "AllXML"):
        (release / name).mkdir(parents=True, exist_ok=True)
    lines = [INBREAST_HEADER]
    for row in rows:
        side, view, name, acr, birads = row.split(";")
        lines.append(f"removed;removed;{side};{view};201001;{name};{acr};{birads}")
        if name in patients:
            in_name = {"MLO": "ML"}.get(view, view)
            path = release / "AllDICOMs" / f"{name}_{patients[name]}_MG_{side}_{in_name}_ANON.dcm"
            dicom.write_image(path, breast(), patient_id="removed", uid_names=(name,), bits=12)
    (release / "INbreast.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    for name, outlines in rois.items():
        written = []
        for number, (label, points) in enumerate(outlines):
            roi: dict[str, object] = {
                "Area": 1.5,
                "IndexInImage": number,
                "NumberOfPoints": len(points),
                "Point_mm": [f"({x}, {y}, 0)" for x, y in points],
                "Point_px": [f"({x}, {y})" for x, y in points],
                "Type": 15,
            }
            written.append(roi | ({"Name": label} if label is not None else {}))
        plist = {"Images": [{"ImageIndex": 0, "NumberOfROIs": len(written), "ROIs": written}]}
        (release / "AllXML" / f"{name}.xml").write_bytes(plistlib.dumps(plist))
    return folder


def write_cesm(
    folder: Path,
    rows: Sequence[tuple[str, str, str]],
    regions: Sequence[tuple[str, object]] | None = (),
    images: Sequence[str] = (),
    masks: Sequence[str] = (),
) -> Path:
    """Write rows (name, findings, pathology), regions (file, shape or text), images and masks (file names)."""
    folder.mkdir(parents=True, exist_ok=True)
    told = [re.search(r"P(\d+)_([LR])_(?:DM|CM)_(CC|MLO)", name) for name, _, _ in rows]
    table = [
        [name, named[1] if named else "", named[2] if named else "", "DM" if "_DM_" in name else "CESM", "50",
         "C" if "_DM_" in name else "_", "4$2", findings, named[3] if named else "", "", "1", pathology]
        for (name, findings, pathology), named in zip(rows, told, strict=True)
    ]  # fmt: skip
    if rows:
        _write_csv(folder / "Radiology-manual-annotations.csv", [CESM_HEADER, *table])
    if regions is not None:
        texts = [(file, shape if isinstance(shape, str) else json.dumps(shape)) for file, shape in regions]
        drawn = [[file, "1", "{}", "1", "0", text, "{}"] for file, text in texts]
        _write_csv(folder / "Radiology_hand_drawn_segmentations_v2.csv", [VIA_HEADER, *drawn])
    for name in images:
        kind = "Low energy" if "_DM_" in name else "Subtracted"
        _write_picture(folder / f"{kind} images of CDD-CESM" / name, (breast() // 16).astype(np.uint8))
    for name in masks:
        mask = np.zeros(SHAPE, np.uint8)
        mask[10:20, 5:15] = 255
        _write_picture(folder / "masks" / name, mask)
    return folder


def write_vindr(folder: Path, rows: Sequence[str], images: Sequence[tuple[str, str]]) -> Path:
    """Write rows of finding_annotations.csv as they are, and DICOM files for (study, image)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "finding_annotations.csv").write_text("\n".join([VINDR_HEADER, *rows, ""]))
    level = ",".join(VINDR_HEADER.split(",")[:9]) + ",split"
    (folder / "breast-level_annotations.csv").write_text(level + "\n")
    for study, image in images:
        path = folder / "images" / study / f"{image}.dicom"
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom.write_image(path, breast(), patient_id=study, uid_names=(image,), bits=12)
    return folder


def write_cmmd(folder: Path, rows: Sequence[str], files: Sequence[tuple[str, str, str, str]]) -> Path:
    """Write rows of the clinical table, and DICOM files (patient, file, side, view) as TCIA does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "CMMD_clinicaldata_revision.csv").write_text("\n".join([CMMD_HEADER, *rows, ""]))
    for patient, file, side, view in files:
        path = folder / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        names = (patient, file)
        dicom.write_image(path, breast(), patient_id=patient, uid_names=names, bits=12, laterality=side, view=view)
    return folder


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
