"""Crops that are taken whole: each picture is one patch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from jsonargparse import ArgumentParser

from mammofill.experiment.settings import add_settings
from mammofill.ground.errors import TooFewError
from mammofill.infilling.conditions import words_in
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, extract_patches

SIDE = 64
SMALL = ExtractPatchesSettings(size_px=32)
TABLE = IngestSettings(collection="table")


def make_crops(folder: Path, radii: list[float], columns: int = SIDE) -> MammogramSet:
    """Ingest pictures with a disc as lesion, every second malignant; the radius is told as shape."""
    folder.mkdir()
    rows, cols = np.mgrid[0:SIDE, 0:columns]
    lines = ["image,mask,patient,pathology,mass_shape,scale"]
    for number, radius in enumerate(radii):
        mask = (rows - 31.5) ** 2 + (cols - (columns - 1) / 2) ** 2 <= radius**2
        picture = np.where(mask, 200, 100).astype(np.uint8)
        for name, pixels in ((f"c{number}.png", picture), (f"m{number}.png", mask.astype(np.uint8) * 255)):
            (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        pathology = ("benign", "malignant")[number % 2]
        lines.append(f"c{number}.png,m{number}.png,P{number},{pathology},OVAL,{radius}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    return ingest(folder, folder.with_name(f"{folder.name}-m"), TABLE)


def test_crops_are_patches_by_themselves(tmp_path: Path) -> None:
    mammograms = make_crops(tmp_path / "own", [26, 27, 28, 29, 26, 27, 20])
    assert len(mammograms.crops) == 6, "of the last, nobody can say by itself that it is a crop"
    patches = extract_patches(mammograms, tmp_path / "p", SMALL)
    table = patches.table
    assert table["mammogram_id"].tolist() == [f"c{number}" for number in range(7)]
    assert table["pathology"].tolist() == ["benign", "malignant"] * 3 + ["benign"]
    assert set(table["height"]) == set(table["width"]) == {SIDE}
    images, masks = patches.pixels(range(7))
    assert patches.breasts(range(7)).all()
    assert images.shape == (7, 32, 32)
    for image, mask, lesion_id in zip(images, masks, mammograms.lesions["lesion_id"], strict=True):
        assert mask.sum() == pytest.approx(mammograms.mask(lesion_id).sum() / 4, rel=0.05)
        assert image[mask].mean() == pytest.approx(200 * 257, rel=0.02)
        assert image[~mask].mean() == pytest.approx(100 * 257, rel=0.05)


def test_attributes_are_there_for_conditions(tmp_path: Path) -> None:
    patches = extract_patches(make_crops(tmp_path / "own", [26] * 6), tmp_path / "p", SMALL)
    assert json.loads(patches.table["attributes"][0]) == {"mass_shape": "OVAL", "scale": "26"}
    assert words_in(patches.table, "shape") == ("oval",) * 6


@pytest.mark.parametrize(
    ("fact", "attributes", "word"),
    [("shape", {"Shape": "Round"}, "round"), ("margin", {"Mass Margins": "ILL_DEFINED-SPICULATED"}, "ill-defined"),
     ("margin", {"mass-margin": "Ill defined"}, "ill-defined"), ("birads", {"BI-RADS": "4a"}, "4"),
     ("birads", {"assessment": "BI-RADS 4", "birads": "3"}, "4"), ("birads", {"Assessment": "4.0"}, "4"),
     ("birads", {"assessment": "suspicious", "birads": "4"}, "4"), ("birads", {"assessment": "40"}, None)],
)  # fmt: skip
def test_words_of_attributes_are_understood_in_other_spellings(
    fact: str, attributes: dict[str, str], word: str | None
) -> None:
    assert words_in(pd.DataFrame({"attributes": [json.dumps(attributes)]}), fact) == (word,)


def test_windows_are_cut_where_pictures_are_mammograms_unless_told_otherwise(tmp_path: Path) -> None:
    mammograms = make_crops(tmp_path / "own", [8, 9, 8, 9, 8, 27])
    windows = extract_patches(mammograms, tmp_path / "w", replace(SMALL, stride_px=16))
    assert len(windows.table) > 6
    whole = extract_patches(mammograms, tmp_path / "p", replace(SMALL, whole=True))
    assert len(whole.table) == 6
    assert set(whole.table["pathology"]) == {"benign", "malignant"}


def test_what_is_not_square_or_too_small_is_counted(tmp_path: Path) -> None:
    settings = replace(SMALL, whole=True)
    with pytest.raises(TooFewError, match="picture-not-square 4"):
        extract_patches(make_crops(tmp_path / "wide", [8] * 4, columns=80), tmp_path / "a", settings)
    with pytest.raises(TooFewError, match="picture-smaller-than-patch 4"):
        extract_patches(make_crops(tmp_path / "own", [26] * 4), tmp_path / "b", replace(settings, size_px=128))


@pytest.mark.parametrize(("flags", "whole"), [(["--whole"], True), (["--whole", "false"], False), ([], None)])
def test_the_flag_needs_no_word(flags: list[str], whole: bool | None) -> None:
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser, ExtractPatchesSettings)
    assert parser.parse_args([*flags, "--size_px", "32"]).whole is whole
