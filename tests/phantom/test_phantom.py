"""Practice mammograms: repeatable, with exact truth, and as hard as they are asked to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from mammofill.ground.errors import ArtifactError, PlanChangedError, SettingsError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.phantom import DrawnView, PhantomSettings, draw_mammogram, draw_patient, write_phantoms
from mammofill.phantom.breast import draw_breast, power_law_texture
from mammofill.phantom.lesion import draw_shape, place_mass

SMALL = PhantomSettings(patients=6, height_px=256, width_px=160)


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """How much brighter a lesion is than the ring around it."""
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
        for number in range(20):
            for view in draw_patient(number, settings, seed=0):
                found[view.malignant] += [contrast(view.image, mask) for mask in view.lesions]
        spread = np.std(found[True]) + np.std(found[False])
        gaps.append((np.mean(found[True]) - np.mean(found[False])) / spread)
    assert abs(gaps[0]) < 0.25
    assert gaps[1] > 0.5


def test_an_easy_task_is_easy_and_an_impossible_one_is_not() -> None:
    """The raggedness of the outline, perimeter squared over area, tells the classes at 1 and cannot at 0."""
    concordance = []
    for difference in (0.0, 1.0):
        settings = replace(SMALL, difference=difference, height_px=384, width_px=240)
        ragged: dict[bool, list[float]] = {True: [], False: []}
        for number in range(24):
            view = draw_mammogram(number, "cc", settings, seed=5)
            outline, _ = cv2.findContours(view.lesions[0].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            ragged[view.malignant].append(cv2.arcLength(outline[0], True) ** 2 / float(view.lesions[0].sum()))
        concordance.append(float(np.greater.outer(ragged[True], ragged[False]).mean()))
    assert 0.25 < concordance[0] < 0.75
    assert concordance[1] > 0.93


def test_with_no_difference_the_class_leaves_no_trace_in_a_shape() -> None:
    for seed in range(20):
        benign, malignant = (
            draw_shape(is_malignant, 0.0, np.random.default_rng(seed)) for is_malignant in (False, True)
        )
        assert benign == malignant
        easy = [draw_shape(is_malignant, 1.0, np.random.default_rng(seed)) for is_malignant in (False, True)]
        assert easy[0].contrast < easy[1].contrast
        assert easy[0].spicules < easy[1].spicules


def test_a_lesion_is_about_as_far_from_the_nipple_in_both_views() -> None:
    """Seen as: changing nothing but the distance asked for moves the mass by about that much."""
    breast = draw_breast((384, 240), "cc", 2, np.random.default_rng(0))
    shape = draw_shape(True, 1.0, np.random.default_rng(0))
    found = []
    for asked in (0.15, 0.4):
        placed = place_mass(breast, replace(shape, from_nipple=asked), np.random.default_rng(1), ~breast.inside)
        assert placed is not None
        center = np.argwhere(placed[1]).mean(axis=0)
        found.append(float(np.hypot(*(center - breast.nipple))) / 384)
    assert found == pytest.approx([0.15, 0.4], abs=0.06)


def test_a_mass_brightens_its_mask_and_nothing_outside_the_breast() -> None:
    breast = draw_breast((384, 240), "mlo", 3, np.random.default_rng(3))
    shape = draw_shape(True, 1.0, np.random.default_rng(3))
    placed = place_mass(breast, shape, np.random.default_rng(3), np.zeros_like(breast.inside))
    assert placed is not None
    added, mask = placed
    assert added[mask].mean() > 0.5 * shape.contrast
    assert not added[~breast.inside].any()
    assert (added != 0).mean() < 0.25  # far from the mass nothing changes
    assert not breast.muscle[mask].any()
    assert breast.muscle.any()


def test_the_denser_class_is_brighter() -> None:
    means = []
    for density in (1, 2, 3, 4):
        breasts = [draw_breast((192, 120), "cc", density, np.random.default_rng(seed)) for seed in range(6)]
        means.append(np.mean([breast.image[breast.inside].mean() for breast in breasts]))
    assert means == sorted(means)
    assert means[3] > 1.15 * means[0]


def test_a_right_breast_has_its_chest_wall_at_the_right_and_background_is_dark() -> None:
    plain = replace(SMALL, labels_and_edges=False)
    sides = set()
    for number in range(8):
        view = draw_mammogram(number, "cc", plain)
        sides.add(view.laterality)
        wall = -1 if view.laterality == "right" else 0
        assert view.breast[:, wall].sum() > view.breast[:, -1 - wall].sum()
        assert view.image[~view.breast].mean() < 0.1 < view.image[view.breast].mean()
    assert sides == {"left", "right"}


def test_labels_and_edges_are_bright_and_off_the_breast() -> None:
    with_labels = draw_mammogram(0, "cc", SMALL)
    assert (with_labels.image[~with_labels.breast] > 0.7).any()
    assert not (draw_mammogram(0, "cc", replace(SMALL, labels_and_edges=False)).image > 0.97).any()


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
                (found.mammograms["patient_id"] == f"P_{90_001 + number:05d}") & (found.mammograms["view"] == view.view)
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
    assert all("CBIS-DDSM" in path.parts for path in (tmp_path / "p").rglob("*.dcm"))
    assert kinds == {8, 16}  # some rows name the cropped picture as the mask


def test_the_same_command_gives_the_same_bytes_and_another_is_refused(tmp_path: Path) -> None:
    first = write_phantoms(tmp_path / "a", replace(SMALL, patients=2), seed=1)
    assert write_phantoms(tmp_path / "b", replace(SMALL, patients=2), seed=1).fingerprint == first.fingerprint
    assert write_phantoms(tmp_path / "a", replace(SMALL, patients=2), seed=1).fingerprint == first.fingerprint
    with pytest.raises(PlanChangedError, match="settings.patients: was 2, now 3"):
        write_phantoms(tmp_path / "a", replace(SMALL, patients=3), seed=1)


def test_a_run_that_was_killed_leaves_no_collection_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_phantoms(tmp_path / "whole", SMALL, seed=1)

    def killed(number: int, settings: PhantomSettings, seed: int) -> tuple[DrawnView, ...]:
        if number == 3:
            raise KeyboardInterrupt
        return draw_patient(number, settings, seed)

    with monkeypatch.context() as patched:
        patched.setattr("mammofill.phantom.collection.draw_patient", killed)
        with pytest.raises(KeyboardInterrupt):
            write_phantoms(tmp_path / "stopped", SMALL, seed=1)
    assert not (tmp_path / "stopped").exists()
    assert write_phantoms(tmp_path / "stopped", SMALL, seed=1).fingerprint == whole.fingerprint


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="exists and is not a mammofill artifact"):
        write_phantoms(tmp_path / "mine", SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


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
