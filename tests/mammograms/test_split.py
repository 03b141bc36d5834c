"""Who trains, validates and tests is decided by patient."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammofill.ground.errors import LeakError, SettingsError
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.sources.entries import Circle, LesionEntry, MammogramEntry
from mammofill.mammograms.split import draw_split, split_patients, worst_findings

findings = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4), st.sampled_from(["malignant", "benign", "normal"])
)


def entry(patient: str, pathology: str | None = None, split: str | None = None, number: int = 1) -> MammogramEntry:
    lesions = (LesionEntry("l", pathology, "mass", Circle(1, 1, 1), "row"),) if pathology else ()
    return MammogramEntry(f"{patient}-{number}", patient, None, None, (Path("x"),), lesions, official_split=split)


@given(findings, st.integers(0, 9))
def test_every_patient_has_one_split_whatever_the_order(found: dict[str, str], seed: int) -> None:
    shares = {"test": 0.25, "validation": 0.25}
    split_of = draw_split(found, shares, seed)
    assert set(split_of) == set(found)
    assert split_of == draw_split(dict(reversed(found.items())), shares, seed)
    per_class = Counter(found.values())
    for pathology, count in per_class.items():
        if count >= 3:
            assert {split_of[name] for name in found if found[name] == pathology} >= {"test", "validation"}


def test_shares_hold_within_each_finding() -> None:
    found = {f"m{k}": "malignant" for k in range(40)} | {f"b{k}": "benign" for k in range(100)}
    split_of = draw_split(found, {"test": 0.2, "validation": 0.15}, seed=0)
    counts = Counter((found[name], split) for name, split in split_of.items())
    assert counts == {
        ("malignant", "test"): 8, ("malignant", "validation"): 6, ("malignant", "train"): 26,
        ("benign", "test"): 20, ("benign", "validation"): 15, ("benign", "train"): 65,
    }  # fmt: skip
    assert split_of != draw_split(found, {"test": 0.2, "validation": 0.15}, seed=1)


def test_a_patient_counts_by_the_worst_finding() -> None:
    entries = [entry("a", "benign"), entry("a", "malignant", number=2), entry("b"), entry("c", "benign")]
    assert worst_findings(entries) == {"a": "malignant", "b": "normal", "c": "benign"}


def test_a_leaking_official_split_is_refused_by_name() -> None:
    entries = [entry("P_1", "benign", "train"), entry("P_1", "benign", "test", 2), entry("P_2", "benign", "train")]
    with pytest.raises(
        LeakError, match="1 patients are in more than one split of the collection: P_1.*--split patients"
    ):
        split_patients(entries, IngestSettings(split="official"), 0)
    split_of, kind = split_patients(entries, IngestSettings(split="patients"), 0)
    assert (set(split_of), kind) == ({"P_1", "P_2"}, "patients")


def test_the_official_test_set_is_untouched_and_validation_comes_out_of_train() -> None:
    entries = [entry(f"t{k}", "benign", "train") for k in range(20)] + [
        entry(f"x{k}", "benign", "test") for k in range(9)
    ]
    split_of, kind = split_patients(entries, IngestSettings(validation_share=0.2), 0)
    assert kind == "official"
    assert Counter(split_of.values()) == {"train": 16, "validation": 4, "test": 9}
    assert all((name[0] == "x") == (split == "test") for name, split in split_of.items())


def test_a_given_validation_split_is_taken_as_it_is() -> None:
    entries = [entry("a", "benign", "train"), entry("b", "benign", "validation"), entry("c", "benign", "test")]
    assert split_patients(entries, IngestSettings(), 0)[0] == {"a": "train", "b": "validation", "c": "test"}


def test_without_an_official_split_one_cannot_be_asked_for() -> None:
    with pytest.raises(SettingsError, match="split is official, but the collection gives no split for a-1"):
        split_patients([entry("a", "benign")], IngestSettings(split="official"), 0)
