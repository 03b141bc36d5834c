"""Practice mammograms, drawn again without their lesions, and what a perfect infiller paints into them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_judging import make_classifier

from mammofill.ground.errors import ArtifactError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import preset, train_infiller
from mammofill.judging import JudgeInfillerSettings, TrainOnFillsSettings, judge_infiller
from mammofill.judging.cases import Lesions
from mammofill.judging.oracle import Oracle, TissueWithoutLesions
from mammofill.mammograms import IngestSettings, ingest
from mammofill.pairing import PairPatchesSettings, pair_patches
from mammofill.pairing.hole import GROWN, HoleSettings, holes_of
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches
from mammofill.phantom import PhantomCollection, PhantomSettings, write_phantoms

PHANTOMS = PhantomSettings(patients=16, height_px=256, width_px=160, difference=1.0, test_share=0.5)


@dataclass(frozen=True)
class Clinic:
    phantoms: PhantomCollection
    patches: PatchSet

    def lesions(self, count: int = 12) -> Lesions:
        rows = self.patches.rows(origin="real", pathology=("benign", "malignant"), split="test")
        rows = np.array([row for row, mask in zip(rows, self.patches.masks(rows), strict=True) if inside(mask)])[:count]
        images, masks = self.patches.pixels(rows)
        chosen = self.patches.table.iloc[rows]
        malignant = (chosen["pathology"] == "malignant").to_numpy()
        people = chosen[["patient_id", "patient_id"]].to_numpy(dtype=object)
        return Lesions(images, masks, malignant, people, chosen)


def inside(mask: np.ndarray) -> bool:
    return not touches_border(mask)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("clinic")
    phantoms = write_phantoms(folder / "phantoms", PHANTOMS, seed=4)
    mammograms = ingest(phantoms.folder, folder / "mammograms", IngestSettings("cbis-ddsm"))
    return Clinic(
        phantoms,
        extract_patches(mammograms, folder / "patches", ExtractPatchesSettings(size_px=48, stride_px=16)),
    )


def an_oracle(clinic: Clinic, own_outline: bool = True, hole: HoleSettings = GROWN) -> Oracle:
    return Oracle(TissueWithoutLesions(clinic.phantoms), hole, 2, own_outline)


def fill(oracle: Oracle, lesions: Lesions, word: str, seed: int = 0) -> np.ndarray:
    return oracle.fill(lesions, [word] * len(lesions), np.arange(len(lesions)) + seed)


@pytest.mark.parametrize("own_outline", [True, False])
def test_the_oracle_stays_in_its_hole_and_paints_the_class(clinic: Clinic, own_outline: bool) -> None:
    lesions, oracle = clinic.lesions(), an_oracle(clinic, own_outline)
    benign, malignant = (fill(oracle, lesions, word) for word in ("benign", "malignant"))
    may_change = oracle.may_change(lesions.masks)
    assert (may_change | (malignant == lesions.images)).all()
    assert (may_change >= holes_of(lesions.masks, GROWN)).all()
    step = np.array([one[mask].mean() for one, mask in zip(malignant, lesions.masks, strict=True)]) - np.array(
        [one[mask].mean() for one, mask in zip(benign, lesions.masks, strict=True)]
    )
    assert (step > 0).mean() > 0.8  # malignant ones are denser, at this difference nearly always


def test_each_fill_depends_on_its_own_seed_alone(clinic: Clinic) -> None:
    lesions, oracle = clinic.lesions(4), an_oracle(clinic)
    all_four = fill(oracle, lesions, "malignant")
    alone = an_oracle(clinic).fill(lesions[2:3], ["malignant"], np.array([2]))
    assert np.array_equal(all_four[2], alone[0])
    assert not np.array_equal(all_four, fill(oracle, lesions, "malignant", seed=100))


def test_without_its_lesion_the_tissue_is_what_was_there(clinic: Clinic) -> None:
    """Far from all lesions both drawings are one film; in the lesion they are not."""
    mammogram = clinic.patches.table["mammogram_id"].iloc[0]
    seen, bare = clinic.phantoms.draw_again(mammogram)
    from mammofill.phantom import exposed

    difference = np.abs(seen.image - exposed(bare.film, bare.noise))
    lesion = np.any(seen.lesions, axis=0)
    assert difference[lesion].mean() > 0.05
    assert (difference == 0).mean() > 0.5


def test_the_masks_outline_is_followed(clinic: Clinic) -> None:
    """Where the mask ends, the lesion does: brighter just inside than just outside, unlike with another outline."""
    lesions = clinic.lesions()
    follows, free = (fill(an_oracle(clinic, own), lesions, "benign") for own in (False, True))
    bare = np.stack([fill_nothing(clinic, lesions, k) for k in range(len(lesions))])

    def share_inside(fills: np.ndarray) -> float:
        added = np.clip(fills.astype(float) - bare, 0, None)
        return float(added[lesions.masks].sum() / added.sum())

    assert share_inside(follows) > share_inside(free)


def fill_nothing(clinic: Clinic, lesions: Lesions, k: int) -> np.ndarray:
    from mammofill.phantom import exposed

    row = lesions.rows.iloc[k]
    _, bare = clinic.phantoms.draw_again(row["mammogram_id"])
    top, left, size = int(row["top"]), int(row["left"]), int(row["height"])
    film = exposed(bare.film, bare.noise)[top : top + size, left : left + size]
    return film.astype(float) * 65535


def test_other_phantoms_are_refused(clinic: Clinic, tmp_path: Path) -> None:
    others = write_phantoms(tmp_path / "others", PHANTOMS, seed=5)
    with pytest.raises(ArtifactError, match="is not what .*others draws there, .* Give the practice mammograms that"):
        TissueWithoutLesions(others).draw(clinic.lesions(2))
    with pytest.raises(ArtifactError, match="has no mammogram 'P1'"):
        others.draw_again("P1")
    lesions = clinic.lesions(2)
    calcified = replace(lesions, rows=lesions.rows.assign(abnormality="calcification"))
    with pytest.raises(ArtifactError, match="The oracle draws masses only"):
        TissueWithoutLesions(clinic.phantoms).draw(calcified)


def test_the_oracle_stands_beside_the_infillers_and_gets_no_verdict(clinic: Clinic, tmp_path: Path) -> None:
    pairs = {
        split: pair_patches(clinic.patches, tmp_path / split, PairPatchesSettings(split=split, hole=GROWN))
        for split in ("train", "test")
    }
    settings = preset("copy-paste")
    infiller = train_infiller(clinic.patches, pairs["train"], tmp_path / "copy-paste", settings)
    quick = JudgeInfillerSettings(
        cases=12, seed_cases=2, seeds_per_case=2, folds=3, trees=5, resamples=100, sheet_cases=2,
        train_on_fills=TrainOnFillsSettings(images=0),
    )  # fmt: skip
    found = judge_infiller(
        [infiller],
        make_classifier(tmp_path / "classifier", patients=["somebody else"]),
        clinic.patches,
        pairs["test"],
        tmp_path / "judgement",
        quick,
        phantoms=clinic.phantoms,
    )
    assert found.references == ["real lesions", "nothing painted", "oracle", "oracle, mask's outline"]
    assert set(found.facts["measures"]) == {"copy-paste", "oracle", "oracle, mask's outline"}
    of_oracle = found.facts["measures"]["oracle"]
    assert {one["verdict"] for one in of_oracle.values()} == {""}
    assert of_oracle["changed_outside_hole"]["value"] == 0
    wanted = found.measures.set_index(["subject", "key"]).loc[("copy-paste", "seam_at_hole"), "wanted"]
    assert wanted == f"<= {of_oracle['seam_at_hole']['value'] + 0.05:.2f}"
