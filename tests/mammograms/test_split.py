"""Who trains, validates and tests is decided by patient."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammofill.ground.errors import LeakError, SettingsError, TooFewError
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.sources.annotations import Circle, LesionEntry, MammogramEntry
from mammofill.mammograms.split import Stratum, draw_folds, draw_split, split_patients, strata_of

strata = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.tuples(
        st.sampled_from(["malignant", "benign", "normal"]),
        st.sampled_from(["mass", "calcification"]),
        st.sampled_from(["1", "2", "3"]),
    ),
)


def entry(
    patient: str, pathology: str | None = None, split: str | None = None, number: int = 1, density: str | None = None
) -> MammogramEntry:
    lesions = (LesionEntry("l", pathology, "mass", Circle(1, 1, 1), "row"),) if pathology else ()
    return MammogramEntry(
        f"{patient}-{number}", patient, None, None, (Path("x"),), lesions, official_split=split, density=density
    )


@given(strata, st.integers(0, 9))
def test_every_patient_has_one_split_whatever_the_order(found: dict[str, Stratum], seed: int) -> None:
    shares = {"test": 0.25, "validation": 0.25}
    split_of = draw_split(found, shares, seed)
    assert set(split_of) == set(found)
    assert split_of == draw_split(dict(reversed(found.items())), shares, seed)
    for pathology, count in Counter(stratum[0] for stratum in found.values()).items():
        if count >= 3:
            assert {split_of[name] for name in found if found[name][0] == pathology} >= {"test", "validation"}


@given(strata, st.integers(2, 6), st.integers(0, 9))
def test_folds_differ_by_a_patient_at_most(found: dict[str, Stratum], folds: int, seed: int) -> None:
    fold_of = draw_folds(found, folds, seed)
    assert set(fold_of) == set(found)
    for pathology in ("malignant", "benign", "normal", None):
        counts = Counter(fold_of[name] for name, stratum in found.items() if pathology in (None, stratum[0]))
        sizes = [counts[fold] for fold in range(folds)]
        assert max(sizes) - min(sizes) <= 1


def test_shares_hold_within_each_pathology_and_density() -> None:
    found = {f"m{k}": ("malignant", "mass", "1" if k < 20 else "4") for k in range(40)}
    found |= {f"b{k}": ("benign", "mass", "2") for k in range(100)}
    split_of = draw_split(found, {"test": 0.2, "validation": 0.15}, seed=0)
    counts = Counter((found[name][0], split) for name, split in split_of.items())
    assert counts == {
        ("malignant", "test"): 8, ("malignant", "validation"): 6, ("malignant", "train"): 26,
        ("benign", "test"): 20, ("benign", "validation"): 15, ("benign", "train"): 65,
    }  # fmt: skip
    dense = Counter(split for name, split in split_of.items() if found[name][2] == "4")
    assert (dense["test"], dense["validation"]) == (4, 3)
    assert split_of != draw_split(found, {"test": 0.2, "validation": 0.15}, seed=1)


def test_a_patient_counts_by_the_worst_finding_and_the_usual_density() -> None:
    entries = [
        entry("a", "benign", density="2"), entry("a", "malignant", number=2, density="3"),
        entry("a", None, number=3, density="3"), entry("b"), entry("c", "benign", density="1"),
    ]  # fmt: skip
    assert strata_of(entries) == {
        "a": ("malignant", "mass", "3"), "b": ("normal", "", ""), "c": ("benign", "mass", "1"),
    }  # fmt: skip


LEAKING = [
    entry("P_1", "benign", "train"), entry("P_1", "benign", "test", 2), entry("P_2", "benign", "train"),
    entry("P_3", "benign", "train"), entry("P_3", "benign", "validation", 2), entry("P_4", "benign", "test"),
]  # fmt: skip


def test_a_leaking_official_split_is_refused_by_name() -> None:
    with pytest.raises(
        LeakError, match="2 patients are in more than one split of the collection: P_1, P_3.*official-patient-safe"
    ):
        split_patients(LEAKING, IngestSettings(split="official"), 0)
    split = split_patients(LEAKING, IngestSettings(split="patients"), 0)
    assert (set(split.split_of), split.kind) == ({"P_1", "P_2", "P_3", "P_4"}, "patients")


def test_the_patient_safe_split_keeps_a_leaking_patient_for_the_strictest_split_and_says_so() -> None:
    split = split_patients(LEAKING, IngestSettings(), 0)
    assert split.kind == "official-patient-safe"
    assert split.split_of == {"P_1": "test", "P_2": "train", "P_3": "validation", "P_4": "test"}
    assert [(one.what, one.rule) for one in split.decisions] == [
        ("P_1", "patient-kept-for-test"), ("P_3", "patient-kept-for-validation"),
    ]  # fmt: skip
    assert split.decisions[0].found == "The collection has P_1 in test and in train."
    assert split.decisions[0].done == "All mammograms of P_1 are used for test alone."


@pytest.mark.parametrize("kind", ["official", "auto"])
def test_the_official_test_set_is_untouched_and_validation_comes_out_of_train(kind: str) -> None:
    entries = [entry(f"t{k}", "benign", "train") for k in range(20)] + [
        entry(f"x{k}", "benign", "test") for k in range(9)
    ]
    split = split_patients(entries, IngestSettings(split=kind, validation_share=0.2), 0)  # type: ignore[arg-type]
    assert Counter(split.split_of.values()) == {"train": 16, "validation": 4, "test": 9}
    assert all((name[0] == "x") == (found == "test") for name, found in split.split_of.items())


def test_a_given_validation_split_is_taken_as_it_is() -> None:
    entries = [entry("a", "benign", "train"), entry("b", "benign", "validation"), entry("c", "benign", "test")]
    assert split_patients(entries, IngestSettings(), 0).split_of == {"a": "train", "b": "validation", "c": "test"}


def test_without_an_official_split_one_cannot_be_asked_for() -> None:
    with pytest.raises(SettingsError, match="split is official, but the collection gives no split for a-1"):
        split_patients([entry("a", "benign")], IngestSettings(split="official"), 0)


def test_each_patient_tests_in_one_fold_and_the_folds_do_not_depend_on_which_is_asked_for() -> None:
    entries = [entry(f"p{k}", "malignant" if k % 3 else "benign") for k in range(31)]
    tested: Counter[str] = Counter()
    for fold in range(4):
        settings = IngestSettings(split="kfold", folds=4, fold=fold, validation_share=0.2)
        split_of = split_patients(entries, settings, 5).split_of
        assert "validation" in split_of.values()
        tested.update(name for name, split in split_of.items() if split == "test")
    assert tested == Counter({f"p{k}": 1 for k in range(31)})


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(TooFewError, match="folds is 5, but the collection has 3 patients. Take fewer folds"):
        split_patients([entry(name) for name in "abc"], IngestSettings(split="kfold"), 0)
