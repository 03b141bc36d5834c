"""Practice mammograms: repeatable, with exact truth, and as hard as they are asked to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from mammofill.ground.errors import PlanChangedError, SettingsError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.phantom import PhantomSettings, draw_patient, write_phantoms
from mammofill.phantom.breast import power_law_texture

SMALL = PhantomSettings(patients=6, height_px=256, width_px=160)


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """How much brighter a lesion is than the ring around it."""
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    ring = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool) & ~mask
    return float(image[mask].mean() - image[ring].mean())


def test_a_patient_is_the_same_whatever_the_number_of_patients() -> None:
    few, many = draw_patient(3, SMALL, seed=1), draw_patient(3, replace(SMALL, patients=100), seed=1)
    for first, second in zip(few, many, strict=True):
        assert np.array_equal(first.image, second.image)
    assert not np.array_equal(few[0].image, draw_patient(3, SMALL, seed=2)[0].image)


def test_lesions_lie_wholly_on_the_breast_in_both_views() -> None:
    for number in range(12):
        views = draw_patient(number, SMALL, seed=0)
        assert [view.view for view in views] == ["cc", "mlo"]
        for view in views:
            assert view.lesions
            assert view.image.dtype == np.float32
            assert view.image.min() >= 0
            assert view.image.max() <= 1
            for mask in view.lesions:
                assert mask.sum() > 30
                assert view.breast[mask].all()


def test_texture_falls_as_one_over_f_cubed() -> None:
    power = np.zeros((256, 256))
    for seed in range(8):
        power += np.abs(np.fft.fft2(power_law_texture((256, 256), np.random.default_rng(seed)))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    band = (frequency > 0.03) & (frequency < 0.3)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert slope == pytest.approx(-3, abs=0.15)


def test_the_difference_between_the_classes_is_a_setting() -> None:
    gaps = []
    for difference in (0.0, 1.0):
        settings = replace(SMALL, difference=difference)
        found: dict[bool, list[float]] = {True: [], False: []}
        for number in range(30):
            for view in draw_patient(number, settings, seed=0):
                found[view.malignant] += [contrast(view.image, mask) for mask in view.lesions]
        spread = np.std(found[True]) + np.std(found[False])
        gaps.append((np.mean(found[True]) - np.mean(found[False])) / spread)
    assert abs(gaps[0]) < 0.25
    assert gaps[1] > 0.5


@pytest.mark.parametrize("layout", ["tables", "tcia"])
def test_ingest_reads_them_with_every_lesion_at_its_place(tmp_path: Path, layout: str) -> None:
    settings = replace(SMALL, layout=layout, calcifications=True, monochrome1_share=0.5, bits=12)
    write_phantoms(tmp_path / "phantoms", settings, seed=4)
    found = ingest(tmp_path / "phantoms", tmp_path / "m", IngestSettings(abnormality="all", height_px=None))
    assert len(found.exclusions) == 0
    assert set(found.lesions["abnormality"]) == {"mass", "calcification"}
    for number in range(6):
        for view in draw_patient(number, settings, seed=4):
            rows = found.mammograms[
                (found.mammograms["patient_id"] == f"P_{number + 1:05d}") & (found.mammograms["view"] == view.view)
            ]
            image = found.image(rows["mammogram_id"].item()) / 65535
            assert np.abs(image - view.image).max() < 1 / 4000
            names = found.lesions_of(rows["mammogram_id"].item())["lesion_id"]
            for name, mask in zip(names, view.lesions, strict=True):
                assert np.array_equal(found.mask(name), mask)
            assert rows["laterality"].item() == view.laterality


def test_files_are_as_nasty_as_the_real_ones(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "p", replace(SMALL, patients=12), seed=0)
    content = (tmp_path / "p" / "mass_case_description_train_set.csv").read_bytes()
    assert b"\r\n" in content
    assert b'.dcm\n"\r\n' in content
    table = pd.read_csv(tmp_path / "p" / "mass_case_description_train_set.csv")
    real = ["patient_id", "breast_density", "left or right breast", "image view", "abnormality id", "abnormality type",
            "mass shape", "mass margins", "assessment", "pathology", "subtlety", "image file path",
            "cropped image file path", "ROI mask file path"]  # fmt: skip
    assert list(table.columns) == real
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (tmp_path / "p").rglob("*.dcm")]
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert "" in {header.SeriesDescription for header in headers}
    named = [path.strip() for path in table["ROI mask file path"]]
    kinds = {pydicom.dcmread(tmp_path / "p" / "CBIS-DDSM" / path).get("BitsAllocated") for path in named}
    assert kinds == {8, 16}  # some rows name the cropped picture as the mask


def test_the_same_command_gives_the_same_bytes_and_another_is_refused(tmp_path: Path) -> None:
    first = write_phantoms(tmp_path / "a", replace(SMALL, patients=2), seed=1)
    assert write_phantoms(tmp_path / "b", replace(SMALL, patients=2), seed=1).fingerprint == first.fingerprint
    assert write_phantoms(tmp_path / "a", replace(SMALL, patients=2), seed=1).fingerprint == first.fingerprint
    with pytest.raises(PlanChangedError, match="settings.patients: was 2, now 3"):
        write_phantoms(tmp_path / "a", replace(SMALL, patients=3), seed=1)


def test_classes_and_test_patients_are_spread_evenly() -> None:
    from mammofill.phantom.collection import _is_test
    from mammofill.phantom.draw import is_malignant

    kinds = [(is_malignant(k, SMALL), _is_test(k, SMALL)) for k in range(40)]
    assert [kinds.count(kind) for kind in [(True, True), (True, False), (False, True), (False, False)]] == [
        5,
        15,
        5,
        15,
    ]


def test_nonsense_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"PhantomSettings.difference must be in \[0, 1\], but is 2"):
        PhantomSettings(difference=2)
