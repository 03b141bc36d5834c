from __future__ import annotations

import math

import numpy as np
import pytest
from toy_judging import a_mask, tissue, with_lesion

from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream
from mammofill.judging import JudgeInfillerSettings
from mammofill.judging.cases import Lesions
from mammofill.judging.cues import CUES, cues_of, cues_of_fills, spread_of_fills
from mammofill.judging.detection import Described, detection_of_fills
from mammofill.judging.distribution import compare, distribution_of
from mammofill.judging.pictures import _line_of
from mammofill.judging.requested_class import LogOdds, class_of_fills
from mammofill.judging.rings import distance_outwards
from mammofill.judging.seam import rings_of
from mammofill.judging.similarity import copy_threshold, crops, descriptors, greatest_correlation
from mammofill.judging.spectrum import BANDS, frequencies, grain, spectra, spectrum_of_fills
from mammofill.judging.table import class_verdict, measures_table
from mammofill.judging.two_sample import two_sample_auc
from mammofill.judging.variety import copies_among_fills, copies_in_reference, read_training_lesions
from mammofill.judging.verdict import CANNOT_BE_JUDGED, Estimate, Statistics, Wanted, judged

STATISTICS = Statistics(JudgeInfillerSettings(resamples=200, folds=3, trees=30), seed=1)


def disc(size_px: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size_px, :size_px]
    return np.hypot(rows - row, columns - column) <= radius


# ---- rings ----------------------------------------------------------------------------------------------------------


def test_distance_is_counted_from_the_outline() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert distance_outwards(mask)[4].tolist() == [2.5, 1.5, 0.5, -0.5, -1.5, -0.5, 0.5, 1.5, 2.5]


# ---- copies ---------------------------------------------------------------------------------------------------------


def test_a_shifted_and_zoomed_copy_is_found_and_other_lesions_are_not() -> None:
    import cv2

    masks = np.stack([a_mask(f"m{k}", 64) for k in range(12)])
    images = np.stack([to_uint16(with_lesion(tissue(f"t{k}", 64), masks[k], "benign", k)) for k in range(12)])
    found, names = descriptors(crops(images, masks)), np.array([f"p{k}" for k in range(12)], object)
    threshold = copy_threshold(found, names)
    assert greatest_correlation(found, names, found, names).max() < threshold < 1

    placed = np.array([[0.8, 0, 9], [0, 0.8, 4]])
    copy = cv2.warpAffine(images[3], placed, (64, 64), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    copied = cv2.warpAffine(masks[3].astype(np.uint8), placed, (64, 64)) > 0
    nobody = np.array([""], object)
    assert greatest_correlation(descriptors(crops(copy[None], copied[None])), nobody, found, names)[0] > threshold
    assert (
        greatest_correlation(descriptors(crops(images[3:4], masks[3:4])), names[3:4], found, names)[0] < threshold
    )  # but itself


def test_the_greatest_correlation_is_the_same_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    first, second = (random.standard_normal((count, 8)).astype(np.float32) for count in (23, 31))
    names, others = (np.array([f"p{k % 5}" for k in range(count)], object) for count in (23, 31))
    expected = np.where(names[:, None] == others[None, :], -1.0, first @ second.T).max(axis=1)
    monkeypatch.setattr("mammofill.judging.similarity._FIRST_AT_ONCE", 7)
    monkeypatch.setattr("mammofill.judging.similarity._SECOND_AT_ONCE", 10)
    np.testing.assert_allclose(greatest_correlation(first, names, second, others), expected, rtol=1e-6)


def test_with_nobody_to_compare_with_nothing_is_a_copy() -> None:
    none, nobody = np.empty((0, 4), np.float32), np.empty(0, object)
    assert greatest_correlation(np.ones((2, 4), np.float32), np.array(["a", "b"], object), none, nobody).tolist() == [
        -1,
        -1,
    ]
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
    assert two_sample_auc(STATISTICS, real, people(60), same + np.eye(4)[0] * 2, people(60, 3)).value > 0.85
    blind = two_sample_auc(STATISTICS, real, people(60), same, people(60, 3))
    assert blind.value < 0.65
    assert blind.low < blind.value < blind.high
    assert (blind.cases, blind.patients) == (120, 12)


def test_a_forest_does_not_learn_patients_by_heart() -> None:
    """Numbers that name the patient, and nothing else, help only a forest that was shown the patient."""
    named = people(120)
    numbers = np.array([[float(name.strip("p"))] for name in named[:, 0]])
    real = np.isin(named[:, 0], ["p0", "p3", "p4", "p7", "p9", "p11"])
    assert two_sample_auc(STATISTICS, numbers[real], named[real], numbers[~real], named[~real]).value < 0.7


def test_a_forest_does_not_know_those_who_lent_the_outlines_by_heart() -> None:
    tissue = people(240)[:, 0]
    lenders = np.array(["p0", "p3", "p4", "p7", "p9", "p11"])
    lent = lenders[np.arange(240) // 12 % 6]
    real, painted = people(120), np.column_stack([tissue, lent]).astype(object)
    numbers = [np.array([[float(name.strip("p"))] for name in group[:, 1]]) for group in (real, painted)]
    assert two_sample_auc(STATISTICS, numbers[0], real, numbers[1], painted).value < 0.65


def test_to_pass_proves_nothing_where_nothing_painted_passes_too() -> None:
    random = stream(0, "subtle")
    picture, mask = np.zeros((60, 8, 8), np.uint16), np.ones((60, 8, 8), bool)
    before, after = (
        Described(
            random.standard_normal((60, 20)).astype(np.float32), random.standard_normal((60, 6)).astype(np.float32)
        )
        for _ in range(2)
    )
    lesions = Lesions(picture, mask, np.arange(60) % 2 == 0, people(60))
    passes, fails = Estimate(0.6, 0.5, 0.7, 60, 12), Estimate(0.9, 0.8, 1.0, 60, 12)
    (found,) = detection_of_fills(STATISTICS, lesions, before, after, fails)
    assert found.verdict == "reached"
    (found,) = detection_of_fills(STATISTICS, lesions, before, after, passes)
    assert found.verdict == "cannot be judged"
    assert "nothing was painted passes too (AUC 0.60)" in found.remark
    (found,) = detection_of_fills(STATISTICS, lesions, before, Described(after.own + 3, after.features), passes)
    assert found.verdict == "not reached"


# ---- spectrum of fills ----------------------------------------------------------------------------------------------


def noisy_lesions(sigma: float, name: str) -> Lesions:
    random = stream(0, name)
    images = to_uint16(0.5 + sigma * random.standard_normal((40, 32, 32)))
    masks = np.repeat(disc(32, 16, 16, 9)[None], 40, axis=0)
    return Lesions(images, masks, np.arange(40) % 2 == 0, people(40))


def test_twice_the_noise_is_four_times_the_power_and_twice_the_grain() -> None:
    real, louder = noisy_lesions(0.02, "real"), noisy_lesions(0.04, "louder")
    found = {one.measure: one for one in spectrum_of_fills(STATISTICS, real, louder.images, real.masks)}
    assert found["greatest difference of a band"].estimate.value == pytest.approx(np.log10(4), abs=0.15)
    assert found["greatest difference of a band"].verdict == "not reached"
    assert found["grain, share of real"].estimate.value == pytest.approx(2, rel=0.05)
    assert grain(real.images, real.masks).mean() == pytest.approx(0.02 * np.sqrt(1 - 2 * 0.159 + 0.0796), rel=0.1)
    brighter = np.minimum(real.images + np.uint16(0.1 * 65535), 65535).astype(np.uint16)
    shifted = {one.measure: one for one in spectrum_of_fills(STATISTICS, real, brighter, real.masks)}
    assert shifted["histogram distance, benign"].estimate.value == pytest.approx(0.1, abs=0.003)
    assert shifted["greatest difference of a band"].estimate.value < 0.01  # brightness is no frequency


# ---- simple cues and spread -----------------------------------------------------------------------------------------


def lesions_with(step_by_class: float, scatter: float, name: str, count: int = 80) -> Lesions:
    """Discs whose brightness above the tissue differs by class, and from lesion to lesion."""
    random, mask = stream(0, name), disc(32, 16, 16, 7)
    malignant = np.arange(count) % 2 == 0
    steps = 0.2 + step_by_class * malignant + scatter * random.standard_normal(count)
    noise = 0.01 * random.standard_normal((count, 32, 32))
    images = to_uint16(0.4 + noise + steps[:, None, None] * mask)
    return Lesions(images, np.repeat(mask[None], count, axis=0), malignant, people(count))


def test_a_cue_that_fills_exaggerate_is_found_and_named() -> None:
    holes = np.repeat(disc(32, 16, 16, 11)[None], 80, axis=0)
    real, same, bold = (lesions_with(step, 0.03, name) for step, name in ((0.01, "a"), (0.01, "b"), (0.15, "c")))
    numbers = [cues_of(one.images, one.masks, holes) for one in (real, same, bold)]
    assert numbers[0].shape == (80, len(CUES))
    step = numbers[0][:, list(CUES).index("inside minus outside")]
    assert step.mean() == pytest.approx(0.205, abs=0.01)
    fair, *_ = cues_of_fills(STATISTICS, real, numbers[0], same, numbers[1])
    assert fair.verdict in ("reached", "open")
    excess, *cues = cues_of_fills(STATISTICS, real, numbers[0], bold, numbers[2])
    assert (excess.key, excess.verdict) == ("largest_simple_cue_excess", "not reached")
    assert excess.estimate.value > 0.25
    assert excess.remark.startswith("it is the ")
    assert {one.measure: one.estimate.value for one in cues}["AUC by inside minus outside"] > 0.98


def test_a_cue_that_tells_the_class_the_other_way_round_is_no_less_of_one() -> None:
    real, fills = lesions_with(0.05, 0.03, "a"), lesions_with(-0.05, 0.03, "b")
    holes = np.repeat(disc(32, 16, 16, 11)[None], 80, axis=0)
    of_real, of_fills = (cues_of(one.images, one.masks, holes) for one in (real, fills))
    excess, *cues = cues_of_fills(STATISTICS, real, of_real, fills, of_fills)
    by_step = {one.measure: one.estimate.value for one in cues}["AUC by inside minus outside"]
    assert by_step > 0.8
    assert excess.estimate.value >= by_step - 0.5, "who learns from such fills takes bright lesions for benign"
    assert excess.verdict == "not reached"


def test_fills_that_are_all_alike_have_too_little_spread() -> None:
    holes = np.repeat(disc(32, 16, 16, 11)[None], 80, axis=0)
    real, alike = lesions_with(0.1, 0.03, "a"), lesions_with(0.1, 0.006, "b")
    of_real, of_alike = ((cues_of(one.images, one.masks, holes), crops(one.images, one.masks)) for one in (real, alike))
    found = {one.key: one for one in spread_of_fills(STATISTICS, real, of_real, of_alike)}
    assert found["spread_of_level"].estimate.value == pytest.approx(0.2, abs=0.05)
    assert found["spread_of_contrast"].verdict == "not reached"
    assert [one.estimate.value for one in spread_of_fills(STATISTICS, real, of_real, of_real)] == [1.0, 1.0, 1.0]


# ---- distribution ---------------------------------------------------------------------------------------------------


def test_points_of_one_cloud_are_close_and_of_two_are_far() -> None:
    random = stream(0, "clouds")
    first, second = random.standard_normal((2, 200, 6))
    alike = compare(first, second)
    assert abs(alike["KID"]) < 0.1
    assert alike["Frechet distance"] < 0.5
    assert alike["precision"] > 0.8
    assert 0.8 < alike["density"] < 1.2
    far = compare(first, second + 5)
    assert far["KID"] > 10
    assert far["Frechet distance"] > 50
    assert (far["precision"], far["recall"], far["density"], far["coverage"]) == (0, 0, 0, 0)
    collapsed = compare(first, np.repeat(second[:1] * 0.1, 200, axis=0) + 1e-3 * random.standard_normal((200, 6)))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] < 0.05  # one point, again and again, covers nothing


def test_fills_are_held_against_lesions_of_other_patients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In features of whole patches a lesion that is painted over is like itself, and a perfect infiller too near."""
    compared: list[tuple[np.ndarray, np.ndarray]] = []

    def compare_patients(real: np.ndarray, others: np.ndarray) -> dict[str, float]:
        compared.append((real, others))
        return compare(real, others)

    monkeypatch.setattr("mammofill.judging.distribution.compare", compare_patients)
    count, nothing = 160, np.empty((160, 0, 0))
    numbers = np.arange(count)
    malignant, donors = numbers % 2 == 1, np.roll(numbers, 2)
    names = np.array([f"patient {number}" for number in numbers], object)
    real = Lesions(nothing, nothing, malignant, np.stack([names, names], axis=1))
    fills = Lesions(nothing, nothing, malignant, np.stack([names, names[donors]], axis=1))
    of_real, of_fills = (np.stack([numbers, one], axis=1).astype(np.float32) for one in (numbers, donors))
    distribution_of(real, of_real, fills, of_fills, "patients", 1)
    painted = list(compared)
    assert len(painted) == 4  # two classes, two halves
    for reference, others in painted:
        assert len(others) >= 12
        assert not set(others.ravel()) & set(reference.ravel()), "neither tissue nor outline is of one of these"
    distribution_of(real, of_real, fills, None, "patients", 1)
    assert [len(others) for _, others in compared[4:]] == [len(others) for _, others in painted]


# ---- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ends", "wanted", "cannot", "verdict"),
    [
        (0.95, (0.92, 0.97), Wanted(least=0.9), "", "reached"),
        (0.95, (0.85, 0.97), Wanted(least=0.9), "", "open"),
        (0.85, (0.80, 0.93), Wanted(least=0.9), "", "open"),
        (0.85, (0.80, 0.89), Wanted(least=0.9), "", "not reached"),
        (0.97, (0.91, 0.99), Wanted(least=0.95, least_low=0.9), "", "reached"),
        (0.97, (0.88, 0.99), Wanted(least=0.95, least_low=0.9), "", "open"),
        (0.93, (0.91, 0.96), Wanted(least=0.95, least_low=0.9), "", "open"),
        (1.04, (0.91, 1.20), Wanted(0.95, 1.05, least_low=0.9, most_high=math.inf), "", "reached"),
        (1.3, (1.1, 1.5), Wanted(0.95, 1.05, least_low=0.9, most_high=math.inf), "", "not reached"),
        (0.55, (0.50, 0.59), Wanted(most=0.6), "", "reached"),
        (0.55, (0.50, 0.61), Wanted(most=0.6), "", "open"),
        (0.65, (0.61, 0.70), Wanted(most=0.6), "", "not reached"),
        (0.95, (0.92, 0.97), Wanted(least=0.9), "only 3 of a kind", "cannot be judged"),
        (math.nan, (math.nan, math.nan), Wanted(least=0.9), "", "cannot be judged"),
        (1.0, (math.nan, math.nan), Wanted(1.0, 1.0), "", "reached"),
        (2.0, (math.nan, math.nan), Wanted(0.0, 0.0), "", "not reached"),
    ],
)
def test_verdicts(value: float, ends: tuple[float, float], wanted: Wanted, cannot: str, verdict: str) -> None:
    found = judged("class", "x", Estimate(value, *ends, 10, 5), wanted, "What it is.", cannot)
    assert found.verdict == verdict
    assert found.remark == (cannot or ("it has no value here" if math.isnan(value) else ""))
    assert found.words == "What it is."


def test_what_is_wanted_in_words() -> None:
    several = (Wanted(least=0.9), Wanted(most=0.6), Wanted(0.5, 2.0), Wanted(0.0, 0.0), Wanted(0.95, least_low=0.9))
    words = [str(one) for one in several]
    assert words == [">= 0.90", "<= 0.60", "0.5 to 2", "= 0", ">= 0.95, interval >= 0.90"]


# ---- intervals ------------------------------------------------------------------------------------------------------


def test_both_patients_of_a_fill_are_drawn() -> None:
    """A mean over fills whose value comes half from the tissue and half from the outline is as uncertain as both."""
    random, count = stream(0, "crossed"), 30
    tissue, outline = random.standard_normal((2, count))
    pairs = [(k, (k + shift) % count) for k in range(count) for shift in range(1, 9)]
    values = np.array([tissue[one] + outline[other] for one, other in pairs])
    who = np.array([[f"p{one}", f"p{other}"] for one, other in pairs], object)
    many = Statistics(JudgeInfillerSettings(resamples=4000), seed=1)
    both, tissue_alone = many.mean(values, who), many.mean(values, who[:, 0])
    truth = 2 * 1.96 * float(np.std(tissue + outline)) / np.sqrt(count)
    assert both.high - both.low == pytest.approx(truth, rel=0.25)
    assert tissue_alone.high - tissue_alone.low < 0.85 * (both.high - both.low)
    assert both.patients == count


def test_a_real_lesion_counts_as_often_as_its_one_patient() -> None:
    values = stream(0, "one role").standard_normal(40)
    single = np.array([f"p{k}" for k in range(40)], object)
    once, twice = STATISTICS.mean(values, single), STATISTICS.mean(values, np.stack([single, single], axis=1))
    assert (once.low, once.high) == (twice.low, twice.high)


@pytest.mark.parametrize(("apart", "doubted"), [(6.0, False), (1.0, True)])
def test_a_classifier_that_misses_much_is_doubted(apart: float, doubted: bool) -> None:
    random, malignant = np.random.default_rng(0), np.repeat([False, True], 40)
    pixels = np.zeros((80, 8, 8))
    who = np.array([[f"P{number}", f"P{number}"] for number in range(80)], object)
    lesions = Lesions(pixels.astype(np.uint16), pixels.astype(bool), malignant, who)
    benign_logits = random.normal(0, 1, 80)
    logits = benign_logits + apart * malignant
    found = class_of_fills(STATISTICS, lesions, lesions, LogOdds(logits, benign_logits, benign_logits + apart, logits))
    verdicts = [one for one in found if one.verdict]
    assert [one.verdict for one in verdicts] == ["reached", "reached"]
    assert all(("judge with the best one there is" in one.remark) == doubted for one in verdicts)


def test_a_class_that_the_surroundings_tell_whatever_is_painted_is_not_painted() -> None:
    random, malignant = np.random.default_rng(0), np.repeat([False, True], 40)
    pixels = np.zeros((80, 8, 8))
    who = np.array([[f"P{number}", f"P{number}"] for number in range(80)], object)
    lesions = Lesions(pixels.astype(np.uint16), pixels.astype(bool), malignant, who)
    logits = random.normal(0, 1, 80) + 6.0 * malignant
    found = class_of_fills(STATISTICS, lesions, lesions, LogOdds(logits, logits - 0.1, logits + 0.1, logits))
    by_key = {one.key: one for one in found if one.key}
    assert by_key["malignant_above_benign"].verdict == "reached", "a tiny shift is enough for that"
    share = by_key["class_share_of_real_auc"]
    assert share.estimate.value == pytest.approx(1, abs=0.01)
    assert share.verdict == CANNOT_BE_JUDGED
    assert "they reveal the class whatever is painted" in share.remark
    table = measures_table([("flow", "flow", one) for one in found])
    assert class_verdict(table, "flow") == "open", "that a pair's fills differ is no proof"
    alone = next(one for one in found if one.measure == "AUC, whatever is painted")
    assert alone.estimate.value > 0.99


def test_where_the_patches_hold_no_training_lesion_nobody_says_what_a_copy_is() -> None:
    people = np.array([[f"p{number}"] * 2 for number in range(60)], object)
    cut = stream(0, "crops").random((60, 32, 32)).astype(np.float32)
    nothing = read_training_lesions(cut[:0], people[:0, 0], seed=0)
    real = Lesions(np.zeros((60, 1, 1), np.uint16), np.ones((60, 1, 1), bool), np.ones(60, bool), people)
    *copies, nearest = copies_among_fills(STATISTICS, nothing, people[:, 0], people, descriptors(cut))
    assert [one.verdict for one in copies] == [CANNOT_BE_JUDGED] * 2
    assert {one.remark for one in copies} == {"the patches hold no training lesion"}
    assert math.isnan(nearest.estimate.value)
    _, nearest_real = copies_in_reference(STATISTICS, nothing, real, cut)
    assert math.isnan(nearest_real.estimate.value)


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_no_two_of_twenty_lines_of_the_spectra_look_the_same() -> None:
    assert len({_line_of(number) for number in range(20)}) == 20


def test_no_patches_have_as_many_numbers_each_as_some() -> None:
    holes = np.zeros((2, 32, 32), bool)
    holes[:, 8:20, 8:20] = True
    images = np.random.default_rng(0).integers(0, 65535, holes.shape).astype(np.uint16)
    assert rings_of(images, holes).shape[1:] == rings_of(images[:0], holes[:0]).shape[1:] == (19,)
