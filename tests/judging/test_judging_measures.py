from __future__ import annotations

import math

import numpy as np
import pytest
from toy_judging import a_mask, tissue, with_lesion

from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream
from mammofill.judging import JudgeInfillerSettings
from mammofill.judging.asked_class import class_of_fills
from mammofill.judging.cases import Lesions
from mammofill.judging.detection import BANDS, detection_of_fills, frequencies, spectra
from mammofill.judging.likeness import copy_threshold, crops, greatest, prints
from mammofill.judging.rings import alone, distance_outwards, outline_step
from mammofill.judging.telling_apart import tell_apart
from mammofill.judging.verdict import Bench, Estimate, Wanted, judged

BENCH = Bench(JudgeInfillerSettings(resamples=200, folds=3, trees=30), seed=1)


def disc(size_px: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size_px, :size_px]
    return np.hypot(rows - row, columns - column) <= radius


# ---- rings ----------------------------------------------------------------------------------------------------------


def test_distance_is_counted_from_the_outline() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert distance_outwards(mask)[4].tolist() == [2.5, 1.5, 0.5, -0.5, -1.5, -0.5, 0.5, 1.5, 2.5]


def test_the_step_across_an_outline_is_the_brightness_that_was_added() -> None:
    mask = disc(64, 30, 33, 12)
    image = np.where(mask, 0.75, 0.5).astype(np.float32)
    assert outline_step(image, mask, 3) == pytest.approx(0.25)
    assert outline_step(np.full((64, 64), 0.5, np.float32), mask, 3) == 0
    tiny = disc(64, 30, 33, 1)
    assert outline_step(np.where(tiny, 0.75, 0.5).astype(np.float32), tiny, 4) == pytest.approx(0.25)


def test_a_lesion_alone_does_not_tell_where_it_was() -> None:
    mask = disc(32, 15, 16, 6)
    image = np.where(mask, 50_000, 20_000).astype(np.uint16)
    elsewhere = image.copy()
    elsewhere[:, 27:] = 3
    assert np.array_equal(alone(image[None], mask[None]), alone(elsewhere[None], mask[None]))
    assert alone(image[None], mask[None])[0, 0, 0] == 20_000


# ---- copies ---------------------------------------------------------------------------------------------------------


def test_a_shifted_and_zoomed_copy_is_found_and_other_lesions_are_not() -> None:
    import cv2

    masks = np.stack([a_mask(f"m{k}", 64) for k in range(12)])
    images = np.stack([to_uint16(with_lesion(tissue(f"t{k}", 64), masks[k], "benign", k)) for k in range(12)])
    found, names = prints(crops(images, masks)), np.array([f"p{k}" for k in range(12)], object)
    threshold = copy_threshold(found, names)
    assert greatest(found, names, found, names).max() < threshold < 1

    placed = np.array([[0.8, 0, 9], [0, 0.8, 4]])
    copy = cv2.warpAffine(images[3], placed, (64, 64), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    copied = cv2.warpAffine(masks[3].astype(np.uint8), placed, (64, 64)) > 0
    nobody = np.array([""], object)
    assert greatest(prints(crops(copy[None], copied[None])), nobody, found, names)[0] > threshold
    assert greatest(prints(crops(images[3:4], masks[3:4])), names[3:4], found, names)[0] < threshold  # but itself


def test_with_nobody_to_compare_with_nothing_is_a_copy() -> None:
    none, nobody = np.empty((0, 4), np.float32), np.empty(0, object)
    assert greatest(np.ones((2, 4), np.float32), np.array(["a", "b"], object), none, nobody).tolist() == [-1, -1]
    assert copy_threshold(none, nobody) == 0.5


# ---- spectra --------------------------------------------------------------------------------------------------------


def test_a_wave_has_its_power_at_its_frequency() -> None:
    columns = np.arange(64)
    wave = np.tile(0.5 + 0.2 * np.sin(2 * np.pi * columns * 0.2), (64, 1))
    found = spectra(to_uint16(wave)[None], disc(64, 32, 32, 15)[None])
    assert found.shape == (1, BANDS)
    assert frequencies()[found[0].argmax()] == pytest.approx(0.2, abs=0.5 / BANDS)


def test_white_noise_has_the_same_power_everywhere_whatever_the_box() -> None:
    random = stream(0, "white")
    images = to_uint16(0.5 + 0.05 * random.standard_normal((60, 64, 64)))
    for radius in (9, 20):
        power = 10 ** spectra(images, np.repeat(disc(64, 32, 32, radius)[None], 60, axis=0)).mean(axis=0)
        assert power[3:] == pytest.approx(0.05**2, rel=0.4)


# ---- telling apart --------------------------------------------------------------------------------------------------


def people(count: int, outlines_of: int = 0) -> np.ndarray:
    return np.array([[f"p{k % 12}", f"p{(k + outlines_of) % 12}"] for k in range(count)], object)


def test_what_differs_is_told_apart_and_what_does_not_is_not() -> None:
    random = stream(0, "numbers")
    real, same = random.standard_normal((60, 4)), random.standard_normal((60, 4))
    assert tell_apart(BENCH, real, people(60), same + np.eye(4)[0] * 2, people(60, 3)).value > 0.85
    blind = tell_apart(BENCH, real, people(60), same, people(60, 3))
    assert blind.value < 0.65
    assert blind.low < blind.value < blind.high
    assert (blind.cases, blind.patients) == (120, 12)


def test_a_judge_does_not_learn_patients_by_heart() -> None:
    """Numbers that name the patient, and nothing else, help only a judge that was shown the patient."""
    named = people(120)
    numbers = np.array([[float(name.strip("p"))] for name in named[:, 0]])
    real = np.isin(named[:, 0], ["p0", "p3", "p4", "p7", "p9", "p11"])
    assert tell_apart(BENCH, numbers[real], named[real], numbers[~real], named[~real]).value < 0.7


def test_a_judge_does_not_know_those_who_lent_the_outlines_by_heart() -> None:
    tissue = people(240)[:, 0]
    lenders = np.array(["p0", "p3", "p4", "p7", "p9", "p11"])
    lent = lenders[np.arange(240) // 12 % 6]
    real, painted = people(120), np.column_stack([tissue, lent]).astype(object)
    numbers = [np.array([[float(name.strip("p"))] for name in group[:, 1]]) for group in (real, painted)]
    assert tell_apart(BENCH, numbers[0], real, numbers[1], painted).value < 0.65


def test_to_pass_proves_nothing_where_nothing_painted_passes_too() -> None:
    random = stream(0, "subtle")
    picture, mask = np.zeros((60, 8, 8), np.uint16), np.ones((60, 8, 8), bool)
    numbers = [random.standard_normal((60, BANDS + 6)).astype(np.float32) for _ in range(2)]
    lesions = Lesions(picture, mask, np.arange(60) % 2 == 0, people(60))
    passes, fails = Estimate(0.6, 0.5, 0.7, 60, 12), Estimate(0.9, 0.8, 1.0, 60, 12)
    (found,) = detection_of_fills(BENCH, lesions, numbers[0], lesions, numbers[1], fails)
    assert found.verdict == "reached"
    (found,) = detection_of_fills(BENCH, lesions, numbers[0], lesions, numbers[1], passes)
    assert found.verdict == "cannot be judged"
    assert "nothing was painted passes too (AUC 0.60)" in found.remark
    (found,) = detection_of_fills(BENCH, lesions, numbers[0], lesions, numbers[1] + 3, passes)
    assert found.verdict == "not reached"


# ---- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ends", "wanted", "hindrance", "verdict", "remark"),
    [
        (0.95, (0.92, 0.97), Wanted(least=0.9), "", "reached", ""),
        (0.95, (0.85, 0.97), Wanted(least=0.9), "", "reached", "crosses the limit"),
        (0.85, (0.80, 0.93), Wanted(least=0.9), "", "not reached", "crosses the limit"),
        (0.55, (0.50, 0.59), Wanted(most=0.6), "", "reached", ""),
        (0.95, (0.92, 0.97), Wanted(least=0.9), "only 3 of a kind", "cannot be judged", "only 3 of a kind"),
        (math.nan, (math.nan, math.nan), Wanted(least=0.9), "", "cannot be judged", "it has no value here"),
        (1.0, (math.nan, math.nan), Wanted(1.0, 1.0), "", "reached", ""),
    ],
)
def test_verdicts(
    value: float, ends: tuple[float, float], wanted: Wanted, hindrance: str, verdict: str, remark: str
) -> None:
    found = judged("class", "x", Estimate(value, *ends, 10, 5), wanted, "What it is.", hindrance)
    assert found.verdict == verdict
    assert remark in found.remark
    assert bool(found.remark) == bool(remark)
    assert found.words == "What it is."


def test_what_is_wanted_in_words() -> None:
    words = [str(one) for one in (Wanted(least=0.9), Wanted(most=0.6), Wanted(0.5, 2.0), Wanted(0.0, 0.0))]
    assert words == [">= 0.90", "<= 0.60", "0.5 to 2", "= 0"]


@pytest.mark.parametrize(("apart", "doubted"), [(6.0, False), (1.0, True)])
def test_a_judge_that_misses_much_is_doubted(apart: float, doubted: bool) -> None:
    random, malignant = np.random.default_rng(0), np.repeat([False, True], 40)
    pixels = np.zeros((80, 8, 8))
    who = np.array([[f"P{number}", f"P{number}"] for number in range(80)], object)
    lesions = Lesions(pixels.astype(np.uint16), pixels.astype(bool), malignant, who)
    logits = random.normal(0, 1, 80) + apart * malignant
    found = class_of_fills(BENCH, lesions, logits, lesions, logits - 9, logits + 9, logits)
    verdicts = [one for one in found if one.verdict]
    assert [one.verdict for one in verdicts] == ["reached", "reached"]
    assert all(("judge with the best one there is" in one.remark) == doubted for one in verdicts)
