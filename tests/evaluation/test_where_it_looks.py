"""Maps of attention beside lesion masks: what is counted, what chance is, what is written and drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import pandas as pd
import pytest

from mammofill.classifier import Classifier
from mammofill.evaluation import EvaluateSettings, Evaluation, evaluate
from mammofill.evaluation.attention import ATTENTION_COLUMNS, ATTENTION_SUMMARY_COLUMNS
from mammofill.ground.artifact import Artifact, begin
from mammofill.ground.errors import ArtifactError, SettingsError
from mammofill.patches import PatchSet, write_shard

SIZE_PX = 32
CELLS = 8
LESION = (slice(12, 20), slice(4, 12))

Look = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Toy:
    name: str = "toy"


class Onlooker(Artifact):
    """Stands in for a classifier; each patch carries its number in its gray, and says where it is looked at."""

    kind = "classifier"
    label = "onlooker"
    threshold = 0.5
    facts: ClassVar[dict[str, Any]] = {}
    attention_cells: int
    look: Look

    def logits(self, images: np.ndarray, *, device: str = "cpu", batch_size: int = 64) -> np.ndarray:
        return images.mean(axis=(1, 2)).astype(np.float64) * 10 - 1

    def attention(self, images: np.ndarray, *, device: str = "cpu", batch_size: int = 64) -> np.ndarray:
        return np.stack([self.look(one) for one in images]).astype(np.float32)


def judged(folder: Path, look: Look, masks: list[np.ndarray], cells: int = CELLS, **settings: Any) -> Evaluation:
    with begin(folder / "classifier", kind="classifier", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        work.finish({})
    kinds = [("benign", "malignant")[number % 2] for number in range(len(masks))]
    rows = [
        {"patch_id": f"patch-{number}", "patient_id": f"T{number}", "mammogram_id": f"T{number}", "top": 0, "left": 0,
         "height": SIZE_PX, "width": SIZE_PX, "breast_share": 1.0, "pathology": kind, "lesion_ids": "", "split": "test",
         "origin": "real"}
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
    images = [np.full((SIZE_PX, SIZE_PX), number * 1000, np.uint16) for number in range(len(masks))]
    with begin(folder / "patches", kind="patches", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, masks)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    onlooker = cast(Any, Onlooker.open(folder / "classifier"))
    onlooker.look, onlooker.attention_cells = look, cells
    asked = EvaluateSettings(resamples=200, **settings)
    return evaluate(cast(Classifier, onlooker), PatchSet.open(folder / "patches"), folder / "evaluation", asked)


def lesion(down: int = 0) -> np.ndarray:
    mask = np.zeros((SIZE_PX, SIZE_PX), bool)
    mask[LESION] = True
    return np.roll(mask, down, axis=0)


def point(row: int, column: int) -> Look:
    def look(image: np.ndarray) -> np.ndarray:
        found = np.zeros(image.shape)
        found[row, column] = 1
        return found

    return look


def of_both(one: Evaluation) -> pd.DataFrame:
    table = one.attention_summary
    return table[table["pathology"] == "both"].set_index("measure")


def test_a_map_that_is_the_same_everywhere_finds_no_more_than_the_area(tmp_path: Path) -> None:
    found = judged(tmp_path, np.ones_like, [lesion(), lesion(4)])
    table = found.attention
    assert list(table) == list(ATTENTION_COLUMNS)
    np.testing.assert_allclose(table["mask_share"], 64 / SIZE_PX**2)
    np.testing.assert_allclose(table["energy_inside"], 64 / SIZE_PX**2)
    np.testing.assert_allclose(table["energy_ring"], table["ring_share"])
    np.testing.assert_allclose(table["peak_area"], 12**2 / SIZE_PX**2)  # half a cell of 4 px around 8 x 8 px
    np.testing.assert_allclose(of_both(found).loc["energy_inside", ["gain", "gain_low", "gain_high"]].astype(float), 0)


@pytest.mark.parametrize(
    ("row", "column", "inside", "energy", "ring"),
    [(16, 8, 1, 1, 0), (12, 4, 1, 1, 1), (11, 4, 1, 0, 1), (10, 2, 1, 0, 0), (9, 8, 0, 0, 0), (16, 20, 0, 0, 0)],
)
def test_a_peak_counts_where_its_cell_touches_and_energy_where_it_lies(
    tmp_path: Path, row: int, column: int, inside: int, energy: int, ring: int
) -> None:
    found = judged(tmp_path, point(row, column), [lesion(), lesion()]).attention.iloc[0]
    assert (found["peak_inside"], found["energy_inside"], found["energy_ring"]) == (inside, energy, ring)


def test_who_always_looks_at_one_place_gains_nothing_over_habit(tmp_path: Path) -> None:
    masks = [lesion(), lesion(), lesion(12), lesion()]
    found = of_both(judged(tmp_path, point(16, 8), masks))
    assert found.loc["energy_inside", "value"] == 0.75  # three lesions lie there ...
    assert found.loc["energy_inside", "area"] == pytest.approx(64 / SIZE_PX**2)
    assert found.loc["energy_inside", "habit"] == 0.75  # ... but no patch was looked at for that
    assert found.loc["energy_inside", "gain"] == found.loc["peak_inside", "gain"] == 0


def test_who_finds_each_lesion_gains_over_habit(tmp_path: Path) -> None:
    masks = [lesion(), lesion(12)] * 4

    def look(image: np.ndarray) -> np.ndarray:
        number = round(float(image[0, 0]) * 65535 / 1000)
        return masks[number].astype(float)

    found = judged(tmp_path, look, masks)
    rows = of_both(found)
    assert rows.loc["energy_inside", "value"] == rows.loc["peak_inside", "value"] == 1
    assert rows.loc["energy_inside", "habit"] == pytest.approx(0.5)
    assert rows.loc["energy_inside", "gain_low"] <= 0.5 <= rows.loc["energy_inside", "gain_high"]
    by_class = found.attention_summary.set_index(["measure", "pathology"])
    assert by_class.loc[("energy_inside", "malignant"), "patches"] == 4
    assert by_class.loc[("energy_inside", "malignant"), "value"] == 1


def test_silent_maps_and_absent_masks_are_counted_and_left_out(tmp_path: Path) -> None:
    def look(image: np.ndarray) -> np.ndarray:
        return np.zeros(image.shape) if image[0, 0] < 0.5 / 65535 else np.ones(image.shape)

    found = judged(tmp_path, look, [lesion(), lesion(), lesion(), np.zeros_like(lesion())])
    table = found.attention
    assert list(table["peak_inside"].isna()) == [True, False, False, True]
    assert list(table["mask_share"].isna()) == [False, False, False, True]
    rows = of_both(found)
    assert (rows.loc["energy_inside", "patches"], rows.loc["silent", "patches"]) == (2, 3)
    assert rows.loc["silent", "value"] == pytest.approx(1 / 3)
    assert math.isnan(rows.loc["silent", "habit"])


def test_tables_and_pictures_are_kept(tmp_path: Path) -> None:
    masks = [lesion(number) for number in range(6)]
    found = judged(tmp_path, point(16, 8), masks, heat_maps=2)
    assert list(found.attention_summary) == list(ATTENTION_SUMMARY_COLUMNS)
    assert found.facts["attention_cells"] == CELLS
    assert found.heat_maps["hardest"][1] == ["patch-1", "patch-3"]  # malignant ones of the lowest scores
    picture, patches = found.heat_maps["random"]
    assert len(set(patches)) == 2
    drawn = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert drawn is not None
    assert drawn.shape[2] == 3
    gray_row, heated_row = drawn[40:190, 100:240].astype(int), drawn[204:354, 100:240].astype(int)
    assert (np.ptp(gray_row, axis=2) == 0).all()  # no colour over the patch itself
    assert (np.ptp(heated_row, axis=2) > 50).any()


def test_nobody_looks_where_nobody_was_asked_to(tmp_path: Path) -> None:
    found = judged(tmp_path, point(16, 8), [lesion(), lesion()], attention=False)
    assert not found.has_attention
    assert found.heat_maps == {}
    assert not list(found.folder.glob("attention*"))
    with pytest.raises(ArtifactError, match=r"has no attention.parquet: .* or with settings without it"):
        _ = found.attention


def test_a_map_of_one_cell_says_nothing(tmp_path: Path) -> None:
    found = judged(tmp_path, np.ones_like, [lesion(), lesion()], cells=1)
    assert found.facts["attention_cells"] == 1
    assert not found.has_attention


def test_a_number_of_pictures_below_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="EvaluateSettings.heat_maps must be at least 0, but is -1"):
        EvaluateSettings(heat_maps=-1)
