"""Phantoms on disk: DICOM files and four tables, as CBIS-DDSM is distributed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mammofill import dicom
from mammofill.ground.artifact import Artifact, begin, write_atomically
from mammofill.ground.errors import ArtifactError
from mammofill.ground.imaging import Mask, mask_box
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import derive_seed, stream
from mammofill.phantom.draw import DrawnView, LesionFree, draw_patient, draw_without_lesions, is_malignant
from mammofill.phantom.settings import PhantomSettings

_MASS_HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)
_CALC_HEADER = (
    "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,"
    "calc distribution,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)


_FIRST = 90_001
"""Number of the first patient. Those of CBIS-DDSM end at P_02584: training on practice mammograms must not be recorded
as training on a real patient of the same name."""
_MAMMOGRAM_ID = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_(?P<number>\d{5,})_(?:LEFT|RIGHT)_(?P<view>CC|MLO)")


class PhantomCollection(Artifact):
    """A folder that `ingest` reads as it reads CBIS-DDSM."""

    kind: ClassVar[str] = "phantoms"

    @property
    def settings(self) -> PhantomSettings:
        """Those that it was drawn with."""
        return PhantomSettings(**self.manifest.settings)

    def draw_again(self, mammogram_id: str) -> tuple[DrawnView, LesionFree]:
        """Draw one of its mammograms again, and the same without its lesions; nothing is read from its files.

        Args:
            mammogram_id: as `ingest` calls it, for example ``Mass-Test_P_90005_LEFT_CC``.

        Raises:
            ArtifactError: it has no such mammogram.
        """
        named = _MAMMOGRAM_ID.fullmatch(mammogram_id)
        number = int(named["number"]) - _FIRST if named else -1
        if named is None or not 0 <= number < self.settings.patients:
            raise ArtifactError(
                f"{self.folder} has no mammogram {mammogram_id!r}. Give the practice mammograms that the patches were "
                "cut from."
            )
        view: Literal["cc", "mlo"] = "cc" if named["view"] == "CC" else "mlo"
        return draw_without_lesions(number, view, self.settings, self.manifest.seed)


def write_phantoms(
    out: str | Path,
    settings: PhantomSettings = PhantomSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> PhantomCollection:
    """Write practice mammograms in the layout of CBIS-DDSM.

    The tables have the irregularities of the real ones: a newline inside the quotes of a path, mask and cropped picture
    swapped in some rows, some files without SeriesDescription, some with low values bright.

    Args:
        out: folder of the new collection.
        settings: how many, how large, how difficult.
        seed: decides everything; patient k is the same whatever the number of patients is.
        progress: notified after each patient.

    Returns:
        The collection.
    """
    with begin(out, kind=PhantomCollection.kind, stage="phantom", settings=settings, seed=seed, inputs={}) as work:
        if work is not None:
            rows: dict[tuple[str, str], list[str]] = {
                (kind, split): [] for kind in ("mass", "calc") for split in ("train", "test")
            }
            with progress.task("drawing phantoms", settings.patients) as task:
                for number in range(settings.patients):
                    split = "test" if _is_test(number, settings) else "train"
                    for view in draw_patient(number, settings, seed):
                        kind = "mass" if view.abnormality == "mass" else "calc"
                        rows[kind, split].extend(_write_view(work.folder, number, split, view, settings, seed))
                    task.advance()
            for (kind, split), lines in rows.items():
                header = _MASS_HEADER if kind == "mass" else _CALC_HEADER
                content = "\r\n".join([header, *lines, ""])
                write_atomically(work.folder / f"{kind}_case_description_{split}_set.csv", content)
            work.finish({"patients": settings.patients, "lesions": sum(map(len, rows.values()))})
    return PhantomCollection.open(out)


def _is_test(number: int, settings: PhantomSettings) -> bool:
    """Spread the test patients evenly over each class, whatever the number of patients."""
    malignant = is_malignant(number, settings)
    place = sum(is_malignant(before, settings) == malignant for before in range(number))
    return int((place + 1) * settings.test_share + 1e-9) > int(place * settings.test_share + 1e-9)


def _write_view(
    folder: Path, number: int, split: str, view: DrawnView, settings: PhantomSettings, seed: int
) -> list[str]:
    """Write one mammogram and its lesions; return the rows of the table."""
    patient = f"P_{_FIRST + number:05d}"
    random = stream(seed, "phantom files", number, view.view)
    is_mass = view.abnormality == "mass"
    kind, use = "Mass" if is_mass else "Calc", "Training" if split == "train" else "Test"
    name = f"{kind}-{use}_{patient}_{view.laterality.upper()}_{view.view.upper()}"
    pixels = np.rint(view.image.astype(np.float64) * (2**settings.bits - 1)).astype(np.uint16)
    monochrome1 = bool(random.random() < settings.monochrome1_share)
    described = bool(random.random() < 0.8)
    files = _Files(folder, settings, seed, patient, view.laterality[0].upper(), view.view.upper(), described)

    image_path = files.write(name, 0, pixels, "full mammogram images", monochrome1=monochrome1)
    rows = []
    for lesion, (mask, words) in enumerate(zip(view.lesions, view.words, strict=True), start=1):
        mask_number, together = int(random.random() < 0.6), bool(random.random() < 0.5)
        of_lesion = f"{name}_{lesion}"
        masked = mask.astype(np.uint8) * 255
        paths = {
            mask_number: files.write(of_lesion, mask_number, masked, "ROI mask images", together, bits=8),
            1 - mask_number: files.write(of_lesion, 1 - mask_number, _cut(pixels, mask), "cropped images", together),
        }
        # The tables always call the same number the mask, whether it is or not, and the path that ends in 000001.dcm
        # runs on into a newline: both as in the real ones.
        first, second = paths[0], f'"{paths[1]}\n"'
        crop_path, mask_path = (first, second) if is_mass else (second, first)
        rows.append(
            f"{patient},{view.density},{view.laterality.upper()},{view.view.upper()},{lesion},{view.abnormality},"
            f"{words[0]},{words[1]},{5 if view.malignant else 3},{'MALIGNANT' if view.malignant else 'BENIGN'},4,"
            f"{image_path},{crop_path},{mask_path}"
        )
    return rows


def _cut(pixels: NDArray[np.uint16], mask: Mask) -> NDArray[np.uint16]:
    """Return the picture of a lesion: its box and half as much again around it, as far as the film goes."""
    top, left, height, width = mask_box(mask)
    margin = max(height, width) // 2
    return pixels[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]


@dataclass(frozen=True)
class _Files:
    """What all files of one view share, and where they go."""

    folder: Path
    settings: PhantomSettings
    seed: int
    patient: str
    side: str
    view: str
    described: bool

    def write(
        self,
        name: str,
        number: int,
        pixels: NDArray[np.uint8] | NDArray[np.uint16],
        description: str,
        together: bool = False,
        *,
        monochrome1: bool = False,
        bits: int | None = None,
    ) -> str:
        """Write one file, maybe together with the lesion's other; return its path as the tables give it."""
        study, series = (
            f"1.3.6.1.4.1.9590.100.1.2.{derive_seed(self.seed, name, kind)}" for kind in ("study", "series")
        )
        in_table = f"{name}/{study}/{series}/{number:06d}.dcm"
        path = self.folder / "CBIS-DDSM" / (in_table if self.settings.layout == "tables" else "")
        if self.settings.layout == "tcia":
            day, count = 1 + derive_seed(self.seed, name, "day") % 28, derive_seed(self.seed, name, "count") % 90000
            shown = "ROI mask images" if together else description
            series_folder = f"1.000000-{shown}-{10000 + derive_seed(self.seed, name, shown) % 90000}"
            file = f"1-{number + 1}.dcm" if together else "1-1.dcm"
            path = path / name / f"07-{day:02d}-2016-DDSM-{10000 + count}" / series_folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom.write_image(
            path,
            pixels,
            patient_id=self.patient,
            uid_names=(str(self.seed), name, str(number)),
            bits=bits or self.settings.bits,
            monochrome1=monochrome1,
            series_description=description if self.described else "",
            laterality=self.side,
            view=self.view,
            study_uid=study,
            series_uid=series,
        )
        return in_table
