"""Which windows become patches, by numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mammofill.patches import ExtractPatchesSettings
from mammofill.patches.windows import LesionOutline, box_sums, label_windows

SETTINGS = ExtractPatchesSettings(size_px=16, stride_px=16, normal_margin_px=2)
BREAST = np.ones((16, 48), bool)


def lesion(box: tuple[int, int, int, int], pathology: str = "benign", abnormality: str = "mass") -> LesionOutline:
    top, left, height, width = box
    mask = np.zeros((16, 48), bool)
    mask[top : top + height, left : left + width] = True
    return LesionOutline(f"{pathology}-{left}", pathology, abnormality, mask)


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 9))
def test_box_sums_count_what_a_loop_counts(mask: np.ndarray, size: int) -> None:
    tops, lefts = np.arange(-4, 12, 3), np.arange(-5, 12, 4)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            inside = mask[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
            assert box_sums(mask, tops, lefts, size)[row, column] == inside.sum()


@pytest.mark.parametrize(
    ("lesions", "expected"),
    [
        ([], ["normal", "normal", "normal"]),
        ([lesion((4, 4, 6, 6))], ["benign", "normal", "normal"]),
        ([lesion((4, 4, 6, 9))], ["benign", "normal", "normal"]),
        ([lesion((4, 4, 6, 11))], ["benign", "lesion-nearby", "normal"]),
        ([lesion((4, 12, 6, 10))], ["lesion-partly-inside", "benign", "normal"]),
        ([lesion((4, 11, 6, 10))], ["lesion-partly-inside", "lesion-partly-inside", "normal"]),
        ([lesion((0, 8, 16, 16))], ["benign", "benign", "normal"]),
        ([lesion((2, 2, 4, 4)), lesion((8, 8, 4, 4), "malignant")], ["both-pathologies", "normal", "normal"]),
        ([lesion((2, 2, 4, 4), abnormality="calcification")], ["lesion-partly-inside", "normal", "normal"]),
        (
            [lesion((2, 2, 4, 4), abnormality="calcification"), lesion((8, 8, 4, 4), "malignant")],
            ["other-abnormality", "normal", "normal"],
        ),
        ([lesion((2, 2, 4, 4), "malignant"), lesion((8, 8, 4, 4), "malignant")], ["malignant", "normal", "normal"]),
    ],
    ids=[
        "no lesion", "wholly inside", "inside, far enough from the next", "reaches into the margin of the next",
        "60 % of the lesion inside", "half of the lesion on each side", "a quarter of the window covered",
        "both pathologies", "another abnormality", "another abnormality beside the asked one", "two of one kind",
    ],
)  # fmt: skip
def test_labels(lesions: list[LesionOutline], expected: list[str]) -> None:
    windows, dropped = label_windows(BREAST, lesions, SETTINGS)
    kept = {window.left: window.pathology for window in windows}
    assert [kept.get(left) for left in (0, 16, 32)] == [
        name if name in ("normal", "benign", "malignant") else None for name in expected
    ]
    assert dropped == Counter(name for name in expected if name not in ("normal", "benign", "malignant"))


def test_too_little_breast_comes_first() -> None:
    breast = np.zeros((16, 48), bool)
    breast[:, :24] = True
    breast[0, 23] = False
    windows, dropped = label_windows(breast, [lesion((4, 36, 6, 6))], SETTINGS)
    assert [window.left for window in windows] == [0]
    assert dropped == {"too-little-breast": 2}
    windows, _ = label_windows(breast, [], replace(SETTINGS, min_breast_share=0.49))
    assert [(window.left, window.breast_share) for window in windows] == [(0, 1.0), (16, 127 / 256)]


def test_nothing_is_normal_where_a_lesion_could_not_be_placed() -> None:
    windows, dropped = label_windows(BREAST, [lesion((4, 4, 6, 6))], SETTINGS, all_lesions_located=False)
    assert [window.pathology for window in windows] == ["benign"]
    assert dropped == {"lesion-place-unknown": 2}


def test_windows_stay_inside_and_a_small_mammogram_is_counted() -> None:
    windows, _ = label_windows(np.ones((39, 20), bool), [], replace(SETTINGS, stride_px=8))
    assert sorted({window.top for window in windows}) == [0, 8, 16]
    assert {window.left for window in windows} == {0}
    assert label_windows(np.ones((15, 90), bool), [], SETTINGS) == ([], {"mammogram-smaller-than-window": 1})


def test_a_large_lesion_fills_its_windows() -> None:
    windows, _ = label_windows(BREAST, [lesion((0, 0, 16, 48), "malignant")], SETTINGS)
    assert [(window.pathology, window.lesion_ids) for window in windows] == [("malignant", ("malignant-0",))] * 3
