"""Shards that were lost are made again, and mammograms that took the place of others are read anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from collections_of_patches import SHOTS, make_mammograms

from mammofill.ground.progress import Progress
from mammofill.patches import ExtractPatchesSettings, extract_patches

SETTINGS = ExtractPatchesSettings(size_px=32, stride_px=16, normal_margin_px=2, mammograms_per_shard=2)


class StopAtEnd(Progress):
    """Stops when the first line of counts is said, after all shards are made."""

    said = 0

    def say(self, text: str) -> None:
        self.said += 1
        if self.said > 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("left", [b"", None], ids=["emptied", "lost"])
@pytest.mark.parametrize("name", ["patches-00001.parquet", ".scratch/made-00001.json"])
def test_what_a_power_cut_took_is_made_again(tmp_path: Path, name: str, left: bytes | None) -> None:
    mammograms = make_mammograms(tmp_path / "m")
    with pytest.raises(KeyboardInterrupt):
        extract_patches(mammograms, tmp_path / "p", SETTINGS, progress=StopAtEnd())
    path = tmp_path / "p.partial" / name
    assert path.is_file()
    path.unlink() if left is None else path.write_bytes(left)
    continued = extract_patches(mammograms, tmp_path / "p", SETTINGS)
    assert continued.fingerprint == extract_patches(mammograms, tmp_path / "whole", SETTINGS).fingerprint


def test_other_mammograms_at_the_same_place_are_not_taken_for_the_old_ones(tmp_path: Path) -> None:
    first = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "first", SETTINGS)
    shutil.rmtree(tmp_path / "m")
    other = {"benign": "malignant", "malignant": "benign", None: None}
    mammograms = make_mammograms(tmp_path / "m", [replace(shot, pathology=other[shot.pathology]) for shot in SHOTS])
    second = extract_patches(mammograms, tmp_path / "second", SETTINGS)
    lesions = first.table["lesion_ids"] != ""
    assert lesions.any()
    turned = first.table["pathology"][lesions].map(other).tolist()
    assert second.table["pathology"][lesions].tolist() == turned
