"""Named streams of chance are repeatable and independent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mammofill.ground.seeding import derive_seed, stream


def test_a_derived_seed_never_changes_between_versions() -> None:
    assert derive_seed(0, "pairing", "P_00001") == 5652535501941925084


@given(st.integers(), st.text(), st.integers())
def test_the_same_names_give_the_same_numbers(seed: int, name: str, number: int) -> None:
    assert stream(seed, name, number).random() == stream(seed, name, number).random()


def test_names_and_seeds_make_different_streams() -> None:
    drawn = {stream(seed, *names).random() for seed in (0, 1) for names in [(), ("a",), ("b",), ("a", 1), ("a1",)]}
    assert len(drawn) == 10


def test_names_are_not_just_joined() -> None:
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
