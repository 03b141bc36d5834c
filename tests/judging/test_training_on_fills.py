"""Who learned from fills against who learned from real lesions, with networks that are really trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_judging import (
    LyingInfiller,
    all_rows,
    make_classifier,
    make_infiller,
    make_pairs,
    make_patches,
    obvious_lesion,
)

from mammofill.classifier import Classifier, TrainClassifierSettings, train_classifier
from mammofill.ground.imaging import to_uint16, to_unit
from mammofill.judging import JudgeInfillerSettings, TrainOnFillsSettings, judge_infiller
from mammofill.judging.cases import Lesions, choose_real
from mammofill.judging.training import TrainingOnFills
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet

RECIPE = TrainClassifierSettings(
    network="shallow-cnn", weights="none", input_px=32, images=256, batch=16, learning_rate=2e-3, threshold_rule="half"
)
SETTINGS = JudgeInfillerSettings(
    cases=60,
    seed_cases=2,
    seeds_per_case=2,
    folds=3,
    trees=5,
    resamples=100,
    sheet_cases=2,
    train_on_fills=TrainOnFillsSettings(images=256),
)


@dataclass(frozen=True)
class World:
    patches: PatchSet
    pairs: Pairs
    classifier: Classifier

    def training(
        self, settings: JudgeInfillerSettings = SETTINGS, classifier: Classifier | None = None
    ) -> TrainingOnFills:
        real = choose_real(self.patches, "test", settings, 0)
        return TrainingOnFills(classifier or self.classifier, real, self.pairs, self.patches, settings, 0, "cpu")

    def aucs(self, lesion: str, kept: Path) -> tuple[float, float]:
        """Train on fills, and on real lesions; `lesion` says whose class each fill shows, if any."""
        training, weights = self.training(), np.ones((1, 60))

        def fill(contexts: Lesions, seeds: np.ndarray, number: int) -> np.ndarray:
            shown = {"own": contexts.requested, "none": ["benign"] * len(contexts)}[lesion]
            each = zip(contexts.images, contexts.masks, shown, strict=True)
            return np.stack([to_uint16(obvious_lesion(to_unit(image), mask, word, 0)) for image, mask, word in each])

        found = (training.on_fills(kept, fill), training.on_real(kept.with_name("real")))
        on_fills, on_real = (float(training.auc(one, weights)[0]) for one in found)
        return on_fills, on_real


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("training")
    patches = make_patches(folder / "patches", all_rows(patients=32), lesion=obvious_lesion)
    classifier = train_classifier([patches], folder / "classifier", RECIPE)
    return World(patches, make_pairs(folder / "pairs", patches, shifts=(5, 9, 14, 20, 26)), classifier)


def test_patients_of_one_half_teach_and_those_of_the_other_test(world: World) -> None:
    training = world.training()
    assert training.cannot == ""
    for part in training.parts:
        tested = set(training.real[part.tested].people.ravel())
        assert not tested & {*part.real.people.ravel(), *part.contexts.people.ravel()}
        assert part.real.malignant.tolist() == part.contexts.malignant.tolist()  # as many of each class
    both = np.stack([part.tested for part in training.parts])
    assert (both.sum(axis=0) == 1).all()  # every real lesion is tested once


def test_fills_as_real_lesions_teach_as_much_and_those_without_a_class_teach_nothing(
    world: World, tmp_path: Path
) -> None:
    on_fills, on_real = world.aucs("own", tmp_path / "own")
    assert on_real > 0.95
    assert on_fills > 0.95
    nothing, again = world.aucs("none", tmp_path / "none")
    assert again == on_real
    assert abs(nothing - 0.5) < 0.35
    assert len(list(tmp_path.glob("*-trained-*.npy"))) == 6  # two halves each; a stopped run takes them up


def test_a_recipe_that_cannot_be_repeated_gives_no_verdict(world: World, tmp_path: Path) -> None:
    nobody = make_classifier(tmp_path / "toy")
    assert "records no recipe that this version of mammofill can repeat" in world.training(classifier=nobody).cannot
    few = JudgeInfillerSettings(cases=8, folds=3)
    assert "match with pairs, at least 10 are needed" in world.training(few).cannot


def test_a_judgement_with_a_second_classifier_that_sees_no_brightness(world: World, tmp_path: Path) -> None:
    second = train_classifier([world.patches], tmp_path / "standardised", replace(RECIPE, standardise=True))
    assert second.label.endswith("standardised")
    found = judge_infiller(
        [make_infiller(tmp_path / "lying", LyingInfiller)],
        world.classifier,
        world.patches,
        world.pairs,
        tmp_path / "judgement",
        replace(SETTINGS, least_classifier_auc=0.5),
        standardised=second,
    )
    flat = found.facts["measures"]["lying"]
    assert flat["standardised_share_of_real_auc"]["value"] is not None
    assert flat["standardised_class_gap"]["value"] < 0.75  # whatever is asked for, the same blob
    assert flat["train_on_fills_share"]["value"] < 0.9
    assert found.facts["standardised"]["fingerprint"] == second.fingerprint
    assert "standardised" in {record.role for record in found.manifest.inputs}


def test_whoever_teaches_on_fills_is_among_the_patients_that_judged(world: World, tmp_path: Path) -> None:
    few = replace(SETTINGS, cases=20, least_per_class=4)  # pairs of others teach as well
    lying = make_infiller(tmp_path / "lying", LyingInfiller)
    found = judge_infiller([lying], world.classifier, world.patches, world.pairs, tmp_path / "judgement", few)
    training = world.training(few)
    assert training.cannot == ""
    taught = {name for part in training.parts for name in part.contexts.people.ravel()}
    assert taught <= set(found.facts["patients"])
