"""JPEG 2000 decoded at half its resolution: only where asked for, how far from the whole, and said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from mammofill import dicom
from mammofill.ground.errors import ImageFileError, SettingsError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest

SHAPE = (400, 301)


def film(seed: int, bits: int = 16) -> np.ndarray:
    """Return a smooth breast with a bright spot and some grain: (H, W), over the lower three quarters of the range."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.clip(1.2 - np.hypot((rows - 200) / 170, columns / 220), 0, 1)
    spot = 0.3 * np.exp(-((rows - 180) ** 2 + (columns - 90) ** 2) / 400)
    grain = np.random.default_rng(seed).normal(0, 0.005, SHAPE)
    return np.clip((0.6 * inside + spot * inside + grain) * 2**bits, 0, 2**bits - 1).astype(np.uint16)


def write(path: Path, pixels: np.ndarray, bits: int = 16, syntax: str = JPEG2000Lossless, **more: bool) -> Path:
    dicom.write_image(path, pixels, patient_id=path.stem, uid_names=(path.stem,), bits=bits, **more)
    if syntax:
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
    return path


@pytest.mark.parametrize(("bits", "monochrome1"), [(16, False), (16, True), (12, False), (8, False)])
def test_half_the_resolution_is_near_to_the_mean_of_areas(tmp_path: Path, bits: int, monochrome1: bool) -> None:
    path = write(tmp_path / "a.dcm", film(0, bits), bits, monochrome1=monochrome1)
    whole, half = dicom.read(path), dicom.read(path, half_if_rows=200)
    assert half.halved_from == whole.pixels.shape == SHAPE
    assert whole.halved_from is None
    assert half.pixels.shape == (200, 151)
    assert (half.bits, half.signed) == (whole.bits, whole.signed)
    assert [remark.rule for remark in half.remarks] == [dicom.HALVED_RULE]
    means = cv2.resize(whole.pixels[:, :300], (150, 200), interpolation=cv2.INTER_AREA).astype(float)
    apart = np.abs(half.pixels[:, :150] - means) / 65535
    assert apart.mean() < 0.01
    assert apart.max() < 0.06
    assert apart.max() > 0  # it is not the mean of areas, and nobody may say so


@pytest.mark.parametrize("least_rows", [201, 400])
def test_a_picture_that_would_be_too_low_is_decoded_whole(tmp_path: Path, least_rows: int) -> None:
    path = write(tmp_path / "a.dcm", film(0))
    read = dicom.read(path, half_if_rows=least_rows)
    assert read.halved_from is None
    assert not read.remarks
    assert np.array_equal(read.pixels, film(0))


def test_values_of_more_bits_than_the_header_says_are_refused_as_in_the_whole_picture(tmp_path: Path) -> None:
    dataset = dcmread(write(tmp_path / "a.dcm", film(0)))
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageFileError, match="says 12 bits, but holds values that need 16"):
        dicom.read(tmp_path / "a.dcm", half_if_rows=100)


@pytest.mark.parametrize("syntax", ["", RLELossless])
def test_other_files_are_read_as_always(tmp_path: Path, syntax: str) -> None:
    read = dicom.read(write(tmp_path / "a.dcm", film(0), syntax=syntax), half_if_rows=100)
    assert read.halved_from is None
    assert np.array_equal(read.pixels, film(0))


def collection(folder: Path, syntaxes: tuple[str, ...], mask: np.ndarray) -> Path:
    folder.mkdir()
    rows = []
    for number, syntax in enumerate(syntaxes):
        write(folder / f"{number}.dcm", film(number), syntax=syntax)
        cv2.imwrite(str(folder / f"{number}_mask.png"), mask.astype(np.uint8) * 255)
        pathology = ("benign", "malignant")[number % 2]
        rows.append((f"{number}.dcm", f"{number}_mask.png", f"patient {number}", pathology))
    pd.DataFrame(rows, columns=["image", "mask", "patient", "pathology"]).to_csv(folder / "own.csv", index=False)
    return folder


def taken(source: Path, out: Path, half: bool, height_px: int = 200) -> MammogramSet:
    return ingest(source, out, IngestSettings(collection="table", height_px=height_px, half_jpeg2000=half))


MASK = np.zeros(SHAPE, bool)
MASK[150:210, 60:120] = True


def test_a_set_of_halves_has_the_same_masks_and_says_what_it_is(tmp_path: Path) -> None:
    source = collection(tmp_path / "films", (JPEG2000Lossless,) * 4, MASK)
    whole, half = (taken(source, tmp_path / name, half=name == "half") for name in ("whole", "half"))
    assert len(whole.mammograms) == len(half.mammograms) == 4
    assert whole.mammograms.equals(half.mammograms)
    assert whole.lesions.equals(half.lesions)
    for name in whole.mammograms["mammogram_id"]:
        assert np.array_equal(whole.lesion_mask(name), half.lesion_mask(name))
        apart = np.abs(whole.image(name).astype(float) - half.image(name)) / 65535
        assert 0 < apart.max() < 0.06
    assert (half.decisions["rule"] == dicom.HALVED_RULE).sum() == 4
    assert not {dicom.HALVED_RULE, "decoding-mixed"} & set(whole.decisions["rule"])
    assert "decoding-mixed" not in set(half.decisions["rule"])


def test_halves_mixed_with_whole_films_are_told_of(tmp_path: Path) -> None:
    source = collection(tmp_path / "films", (JPEG2000Lossless, "", JPEG2000Lossless, JPEG2000Lossless), MASK)
    decisions = taken(source, tmp_path / "out", half=True).decisions
    told = decisions[decisions["rule"] == "decoding-mixed"]["found"].tolist()
    assert told == ["The images differ: 3 decoded at half resolution, 1 decoded whole. Of the fewer the first is 1."]


def test_a_mask_of_another_size_is_placed_on_the_whole_film(tmp_path: Path) -> None:
    low = cv2.resize(MASK.astype(np.uint8), (SHAPE[1] * 3 // 4, SHAPE[0] * 3 // 4), interpolation=cv2.INTER_AREA) > 0
    source = collection(tmp_path / "films", (JPEG2000Lossless,) * 4, low)
    whole, half = (taken(source, tmp_path / name, half=name == "half") for name in ("whole", "half"))
    assert len(half.lesions) == 4
    assert half.lesions.equals(whole.lesions)
    assert (half.decisions["rule"] == "mask-resampled").sum() == 4


def test_halves_of_all_of_the_resolution_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"half_jpeg2000.*false where height_px is unset"):
        IngestSettings(height_px=None, half_jpeg2000=True)
