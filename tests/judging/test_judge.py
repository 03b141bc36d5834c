from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from toy_judging import (
    HonestInfiller,
    LyingInfiller,
    all_rows,
    make_classifier,
    make_infiller,
    make_pairs,
    make_patches,
)

from mammofill.classifier import Classifier
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.progress import Progress, Task
from mammofill.infilling import Infiller
from mammofill.judging import (
    JudgeInfillerSettings,
    Judgement,
    TrainOnFillsSettings,
    WantedSettings,
    judge_infiller,
)
from mammofill.judging.judgement import MEASURE_COLUMNS
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet

SETTINGS = JudgeInfillerSettings(
    cases=40,
    seed_cases=20,
    seeds_per_case=2,
    folds=3,
    trees=30,
    resamples=200,
    sheet_cases=4,
    train_on_fills=TrainOnFillsSettings(images=0),
)


@dataclass(frozen=True)
class World:
    folder: Path
    patches: PatchSet
    pairs: Pairs
    honest: Infiller
    lying: Infiller
    classifier: Classifier

    def judge(self, out: Path, settings: JudgeInfillerSettings = SETTINGS, **changes: Any) -> Judgement:
        given = {
            "infillers": [self.honest, self.lying],
            "classifier": self.classifier,
            "patches": self.patches,
            "pairs": self.pairs,
            "progress": Progress(),
        } | changes
        return judge_infiller(out=out, settings=settings, **given)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("judging")
    patches = make_patches(folder / "patches", all_rows())
    return World(
        folder,
        patches,
        make_pairs(folder / "pairs", patches),
        make_infiller(folder / "honest", HonestInfiller),
        make_infiller(folder / "lying", LyingInfiller),
        make_classifier(folder / "classifier"),
    )


@pytest.fixture(scope="module")
def judgement(world: World) -> Judgement:
    return world.judge(world.folder / "judgement")


# ---- what is found --------------------------------------------------------------------------------------------------


def test_an_infiller_that_paints_what_real_lesions_are_fails_nothing(judgement: Judgement) -> None:
    own = judgement.measures[judgement.measures["subject"] == "honest"].set_index("key")
    assert own[own["verdict"] == "not reached"].empty, own[["measure", "value", "low", "high"]].to_string()
    not_tried = {"standardised_share_of_real_auc", "standardised_class_gap", "train_on_fills_share"}
    assert set(own.index[own["verdict"] == "cannot be judged"]) == not_tried
    reached = set(own.index[own["verdict"] == "reached"])
    assert reached >= {"changed_outside_hole", "copies_of_training", "copies_of_each_other", "distance_between_seeds"}
    assert own.loc["detection_in_place", "value"] < 0.7
    assert own.loc["seam_at_hole", "value"] < 0.7


def test_an_infiller_that_lies_is_found_out(judgement: Judgement) -> None:
    flat = judgement.facts["measures"]["lying"]
    not_reached = {name for name, one in flat.items() if one["verdict"] == "not reached"}
    assert not_reached >= {
        "malignant_above_benign",
        "changed_outside_hole",
        "copies_of_each_other",
        "seam_at_hole",
        "detection_in_place",
        "spectrum_greatest_difference",
        "distance_between_seeds",
    }
    assert value(judgement, "lying", "class", "malignant above benign") == 0.5  # the same picture, whatever was asked
    assert value(judgement, "lying", "class", "AUC, outline without say") == pytest.approx(0.5)
    assert value(judgement, "lying", "variety", "from seed to seed") == 0
    assert value(judgement, "lying", "variety", "copies of each other") > 70
    assert value(judgement, "lying", "seam", "AUC at the hole") > 0.9


def test_the_flat_numbers_say_whether_the_class_is_painted(judgement: Judgement) -> None:
    content = json.loads((judgement.folder / "judgement.json").read_text())
    assert [one["class_painted"] for one in content["infillers"]] != ["not reached"] * 2
    assert content["infillers"][1]["class_painted"] == "not reached"
    assert content["infillers"][0]["fingerprint"] == judgement.manifest.inputs[0].fingerprint
    flat = content["measures"]["honest"]
    assert set(flat) >= {
        "class_share_of_real_auc",
        "malignant_above_benign",
        "standardised_share_of_real_auc",
        "standardised_class_gap",
        "largest_simple_cue_excess",
        "spread_of_contrast",
        "train_on_fills_share",
        "seam_at_hole",
        "detection_in_place",
        "changed_outside_hole",
        "copies_of_training",
        "copies_of_each_other",
    }
    assert all(set(one) == {"value", "low", "high", "verdict"} for one in flat.values())
    assert flat["changed_outside_hole"] == {"value": 0.0, "low": None, "high": None, "verdict": "reached"}
    assert flat["standardised_class_gap"]["value"] is None
    assert flat["malignant_above_benign"]["low"] <= flat["malignant_above_benign"]["value"]


def test_what_judges_without_level_and_contrast_must_be_given(judgement: Judgement) -> None:
    rows = judgement.measures.set_index(["subject", "key"])
    assert "train one with --standardise true" in rows.loc[("honest", "standardised_class_gap"), "remark"]
    assert rows.loc[("honest", "train_on_fills_share"), "remark"] == "train_on_fills.images is 0"


def test_one_pixel_far_away_is_counted(judgement: Judgement) -> None:
    rows = judgement.measures.set_index(["subject", "key"])
    assert rows.loc[("lying", "changed_outside_hole"), "value"] == 120  # 80 fills, and 40 lesions painted again
    assert rows.loc[("lying", "changed_outside_hole"), "remark"].startswith("120 of ")
    assert rows.loc[("honest", "changed_outside_hole"), "value"] == 0
    assert set(judgement.fills.groupby("infiller")["changed_outside_benign"].sum()) == {0, 40}


def test_real_lesions_and_nothing_painted_stand_beside(judgement: Judgement) -> None:
    assert judgement.references == ["real lesions", "nothing painted"]
    assert value(judgement, "real lesions", "class", "AUC") > 0.7
    assert value(judgement, "real lesions", "variety", "copies of training lesions") == 0
    assert value(judgement, "nothing painted", "detection", "AUC in place") > 0.9  # no lesion is not like a lesion
    assert 0.5 <= value(judgement, "real lesions", "cues", "AUC by contrast") <= 1


def test_where_lesions_are_painted_over_there_is_no_tissue_to_compare_with(world: World, tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", world.patches, contexts="benign")
    over = make_infiller(tmp_path / "honest", hole={"rule": "dilation", "plus_px": 3.0})
    judged = world.judge(tmp_path / "j", pairs=pairs, infillers=[over])
    found = judged.measures
    assert set(found["subject"]) == {"real lesions", "honest"}
    detection = found[found["measure"] == "AUC in place"].iloc[0]
    assert math.isfinite(detection["value"])
    assert detection["verdict"] in ("reached", "not reached", "open")
    assert "no tissue without lesions" in detection["remark"]
    assert "nothing painted" not in set(judged.spectra["subject"])


def test_a_lesion_of_which_a_ring_would_be_left_is_not_painted_over(world: World, tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", world.patches, contexts="benign")
    with pytest.raises(
        ArtifactError, match=r"\d+ of 40 lesions .* would show around the fill.* repaints the mask, which"
    ):
        world.judge(tmp_path / "j", pairs=pairs, infillers=[world.honest])


class Told(HonestInfiller):
    """Keeps what it was told of shape and breast."""

    told: list[tuple[str, str | None, str | None]]

    def infill(self, images: Any, masks: Any, pathologies: Any, seeds: Any, **how: Any) -> np.ndarray:
        facts = how.get("facts") or {}
        self.told += zip(pathologies, facts["shape"], facts["density"], strict=True)
        return super().infill(images, masks, pathologies, seeds, **how)


def test_who_can_be_asked_for_more_is_judged_as_it_is_used(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"shape": "oval", "density": "3"}
    monkeypatch.setattr("mammofill.judging.cases.words_in", lambda table, fact: (words[fact],) * len(table))
    infiller = Told(world.honest.folder, world.honest.manifest)
    infiller.__dict__["network"] = world.honest.network | {"conditions": ["pathology", "shape", "density"]}
    infiller.told = []
    world.judge(tmp_path / "j", replace(SETTINGS, resamples=100), infillers=[infiller])
    assert {density for _, _, density in infiller.told} == {"3"}
    of_pairs, others = infiller.told[:80], infiller.told[80:]
    assert {shape for _, shape, _ in of_pairs} == {None}, "the fills of a pair differ in the class alone"
    assert {shape for _, shape, _ in others} == {"oval"}, "own class, in place, and from seed to seed: as in synthesis"
    assert len(others) == 40 + 40 + 2 * 20


def test_the_folder_holds_what_it_says(judgement: Judgement) -> None:
    assert list(judgement.measures.columns) == list(MEASURE_COLUMNS)
    assert judgement.infillers == ["honest", "lying"]
    assert len(judgement.fills) == 2 * 40
    assert set(judgement.spectra["subject"]) == {"honest", "lying", "real lesions", "nothing painted"}
    sheet = cv2.imread(str(judgement.contact_sheet), cv2.IMREAD_UNCHANGED)
    assert sheet.shape[0] > 7 * 128  # context, mask, lesion, and two rows for each infiller
    assert cv2.imread(str(judgement.spectra_picture)) is not None
    text = (judgement.folder / "table.txt").read_text()
    assert text.index("class: malignant above benign") < text.index("seam: AUC at the hole")
    assert "95% intervals" in text
    assert 0 < judgement.facts["copy_threshold"] < 1
    assert json.loads((judgement.folder / "judgement.json").read_text())["split"] == "test"


def test_too_few_and_a_weak_classifier_give_numbers_but_no_verdict(world: World, tmp_path: Path) -> None:
    strict = replace(SETTINGS, least_per_class=50, least_classifier_auc=1.0, resamples=100)
    judged = world.judge(tmp_path / "few", strict, infillers=[world.honest])
    found = judged.measures
    own = found[found["subject"] == "honest"].set_index(["criterion", "measure"])
    assert np.isfinite(own.loc[("class", "share of the real AUC"), "value"])
    assert own.loc[("class", "share of the real AUC"), "verdict"] == "cannot be judged"
    assert "below 1 (least_classifier_auc)" in own.loc[("class", "share of the real AUC"), "remark"]
    assert own.loc[("seam", "AUC at the hole"), "verdict"] == "cannot be judged"
    assert own.loc[("seam", "AUC at the hole"), "remark"] == "only 40 of a kind, at least 50 are needed"
    text = (judged.folder / "table.txt").read_text()
    assert "\nCannot be judged, because only 40 of a kind, at least 50 are needed: " in text


def test_a_stopped_run_takes_up_the_fills_that_it_made(world: World, judgement: Judgement, tmp_path: Path) -> None:
    class Stopped(BaseException):
        pass

    class StopsSoon(Progress):
        steps = 0

        @contextmanager
        def task(self, name: str, total: float) -> Iterator[Task]:
            yield self

        def advance(self, steps: float = 1, note: str = "") -> None:
            self.steps += 1
            if self.steps == 4:
                raise Stopped

    with pytest.raises(Stopped):
        world.judge(tmp_path / "again", progress=StopsSoon())
    assert len(list((tmp_path / "again.partial").rglob("*.npy"))) == 3
    assert world.judge(tmp_path / "again").fingerprint == judgement.fingerprint


def value(judgement: Judgement, subject: str, criterion: str, measure: str) -> float:
    table = judgement.measures
    rows = table[(table["subject"] == subject) & (table["criterion"] == criterion) & (table["measure"] == measure)]
    return float(rows["value"].iloc[0])


# ---- what is refused ------------------------------------------------------------------------------------------------


def refused(world: World, error: type[Exception], words: str, **changes: Any) -> None:
    with pytest.raises(error, match=words):
        world.judge(world.folder / "refused", **changes)
    assert not (world.folder / "refused.partial").exists()


@pytest.mark.parametrize("who", ["infiller", "classifier"])
@pytest.mark.parametrize("role", ["tissue", "outline", "lesion beside"])
def test_a_patient_that_somebody_learned_from_is_named(world: World, tmp_path: Path, who: str, role: str) -> None:
    rows = [*all_rows(), *(dict(row, patch_id="more", patient_id="test-patient-x") for row in all_rows()[-1:])]
    patches = make_patches(tmp_path / "patches", rows)
    first = make_pairs(tmp_path / "pairs", patches).table.iloc[0]
    patient = {
        "tissue": first["context_patient_id"],
        "outline": first["mask_donor_patient_id"],
        "lesion beside": "test-patient-x",
    }[role]
    given: dict[str, Any] = {"patches": patches, "pairs": Pairs.open(tmp_path / "pairs")}
    if who == "infiller":
        given["infillers"] = [make_infiller(tmp_path / "infiller", patients=[patient])]
    else:
        given["classifier"] = make_classifier(tmp_path / "classifier", patients=[patient])
    words = rf"The {who} in .* learned from 1 patient of the test split.*\n  {patient}: through train-{who}"
    refused(world, LeakError, words, **given)


def test_patients_on_whom_a_judge_chose_its_threshold_and_nothing_else_may_be_judged_on(
    world: World, tmp_path: Path
) -> None:
    patient, through = "test-patient-3", "train-classifier (validation: threshold)"
    world.judge(tmp_path / "judged", classifier=make_classifier(tmp_path / "one", patients=[patient], through=through))
    kept = through.replace("threshold", "threshold, choice of weights")
    chosen = make_classifier(tmp_path / "other", patients=[patient], through=kept)
    refused(
        world, LeakError, r"test-patient-3: through train-classifier \(validation: threshold, choice", classifier=chosen
    )


@pytest.mark.parametrize("through", ["train-classifier (mask donor of a synthetic patch)", "train-infiller"])
def test_a_classifier_that_saw_generated_patches_is_refused(world: World, tmp_path: Path, through: str) -> None:
    classifier = make_classifier(tmp_path / "classifier", through=through)
    refused(world, ArtifactError, r"learned from generated patches \(through train-.*real patches only",
            classifier=classifier)  # fmt: skip


def test_an_infiller_of_one_class_is_refused(world: World, tmp_path: Path) -> None:
    one = make_infiller(tmp_path / "infiller", learned={"benign": 5, "malignant": 0})
    refused(world, TooFewError, "learned from no malignant lesion, so none can be requested of it", infillers=[one])


def test_pairs_of_one_class_are_refused(world: World, tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", world.patches, kinds="benign")
    refused(world, TooFewError, r"has no malignant pairs \(of 24 in all\)", pairs=pairs)


def test_too_few_patients_are_refused(world: World, tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "patches", all_rows(patients=2))
    pairs = make_pairs(tmp_path / "pairs", patches)
    refused(world, TooFewError, "are of 2 patients, .* on 3 parts", patches=patches, pairs=pairs)


def test_another_size_is_refused(world: World, tmp_path: Path) -> None:
    larger = make_infiller(tmp_path / "infiller", size_px=64)
    refused(world, ArtifactError, "fills patches of 64 px, but those in .* are 32 px", infillers=[larger])


def test_pairs_of_other_patches_or_of_two_splits_are_refused(world: World, tmp_path: Path) -> None:
    others = make_patches(tmp_path / "patches", all_rows(patients=3))
    refused(world, ArtifactError, "were not made from the patches in", patches=others)
    both = make_pairs(tmp_path / "pairs", world.patches, splits=("train", "test"))
    refused(world, ArtifactError, "are of several splits: test, train", pairs=both)


def test_classifiers_in_each_others_place_are_refused(world: World, tmp_path: Path) -> None:
    blind = make_classifier(tmp_path / "blind", standardise=True)
    refused(world, ArtifactError, "was trained with standardise, .* Give it as --standardised", classifier=blind)
    refused(world, ArtifactError, "was not trained with standardise", standardised=world.classifier)
    known = make_classifier(tmp_path / "known", patients=["test-patient-3"], standardise=True)
    refused(world, LeakError, "test-patient-3: through train-classifier", standardised=known)


def test_pairs_whose_holes_are_cut_off_are_refused(world: World, tmp_path: Path) -> None:
    wide = make_infiller(tmp_path / "wide", hole={"rule": "dilation", "share": 1.5, "plus_px": 4.0})
    refused(world, ArtifactError, r"holes touch the border .* pair-patches --hole.rule dilation --hole.share 1.5",
            infillers=[wide])  # fmt: skip


def test_nobody_and_the_same_one_twice_are_refused(world: World) -> None:
    refused(world, ArtifactError, "There is no infiller to judge", infillers=[])
    refused(world, ArtifactError, "is given twice", infillers=[world.honest, world.honest])


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        (JudgeInfillerSettings, {"cases": 3}, "JudgeInfillerSettings.cases must be at least 4, but is 3"),
        (JudgeInfillerSettings, {"folds": 2}, "JudgeInfillerSettings.folds must be at least 3"),
        (WantedSettings, {"seam_auc": 0.4}, r"WantedSettings.seam_auc must be in \[0.5, 1\], but is 0.4"),
        (WantedSettings, {"spread": (2.0, 1.0)}, "WantedSettings.spread must be two shares"),
        (TrainOnFillsSettings, {"images": -1}, "TrainOnFillsSettings.images must be at least 0"),
    ],
)
def test_nonsense_is_refused_by_name(settings: type[Any], field: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(**field)
