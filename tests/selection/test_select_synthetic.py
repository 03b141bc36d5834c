"""The gate: what it lets through, what it refuses and why, and by whose reading."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_judging import BrightestSpot, a_mask, make_classifier, make_patches, patch_row
from toy_selection import KINDS, PATIENTS, SOME, World, fill_rows, make_fills, train_patient

from mammofill.classifier import TrainClassifierSettings, train_classifier
from mammofill.classifier.checks import check_leaks
from mammofill.evaluation.training import what_was_learned
from mammofill.ground.artifact import Artifact, LearnedFrom, begin, open_any
from mammofill.ground.errors import ArtifactError, LeakError, MammofillError, SettingsError, TooFewError
from mammofill.ground.imaging import decode_png, feather, to_unit
from mammofill.ground.progress import Progress
from mammofill.judging.cases import training_lesions
from mammofill.pairing.hole import HoleSettings, distance_from_ellipse
from mammofill.patches import PatchSet
from mammofill.report.examples import synthetic_examples
from mammofill.selection import SelectSyntheticSettings, read_scores, select_synthetic
from mammofill.selection.checks import patients_of
from mammofill.selection.holes import Holes, holes_in
from mammofill.selection.measures import measure_training, validation_lesions
from mammofill.selection.settings import QUANTILES


def scores_by_kind(world: World) -> dict[str, pd.DataFrame]:
    table = read_scores(world.selected)
    return {kind: table[table["patch_id"].str.startswith(kind)] for kind in KINDS}


def refused_for(scores: pd.DataFrame, reason: str) -> float:
    return float(scores["refused_for"].str.split().map(lambda found: reason in found).mean())


def test_fills_as_real_lesions_are_drawn_pass_and_the_others_go_for_what_is_wrong_with_them(world: World) -> None:
    found = scores_by_kind(world)
    passing = {kind: float((one["refused_for"] == "").mean()) for kind, one in found.items()}
    assert passing["good"] > 0.6
    assert passing["wrong class"] < 0.25
    assert passing["copy"] < 0.1
    assert passing["stamp"] == 0
    assert refused_for(found["wrong class"], "class_fidelity") > 0.75
    assert refused_for(found["copy"], "copy") > 0.9
    assert refused_for(found["good"], "copy") < 0.1  # they have the outline of a training lesion
    assert refused_for(found["stamp"], "changed_outside") == 1
    assert set(found["stamp"]["changed_outside"]) == {1}
    assert refused_for(found["stamp"], "typicality") + refused_for(found["stamp"], "detection") > 0.9


def test_real_lesions_are_looked_at_in_holes_as_wide_as_those_of_the_fills(world: World, tmp_path: Path) -> None:
    fills = make_fills(tmp_path / "soft", fill_rows(["good"]), world.patches, edge_px=4)
    changed = holes_in(fills)
    assert changed == Holes(HoleSettings(), 4)
    real, holes = validation_lesions(world.patches, changed, 10)
    assert np.array_equal(holes, [feather(mask, 4) > 0 for mask in real.masks])


def test_many_patches_of_one_lesion_are_one_lesion(tmp_path: Path) -> None:
    kinds = [("benign", ""), ("malignant", "always the same")]
    rows = [
        patch_row(f"validation-{kind}-{number}", 0, kind, "validation") | {"lesion_ids": lesion}
        for kind, lesion in kinds
        for number in range(12)
    ]
    patches = make_patches(tmp_path / "patches", rows)
    words = r"has 1 whole malignant lesion \(in 12 patches\), but thresholds are quantiles of at least 10"
    with pytest.raises(TooFewError, match=words):
        validation_lesions(patches, Holes(HoleSettings(), 0), 10)


def test_training_lesions_that_fill_their_patches_show_no_rings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lesions = list(training_lesions(world.patches))
    images, masks, patients = lesions[0]
    filling = (images[:3], np.ones_like(masks[:3]), patients[:3])  # read last, and alone
    monkeypatch.setattr("mammofill.selection.measures.training_lesions", lambda _: iter([*lesions, filling]))
    with Progress().task("measuring", 1) as task:
        training, surface, people = measure_training(world.patches, Holes(HoleSettings(), 0), 0, task)
    assert len(training.descriptors) == 2 * PATIENTS + 3
    assert len(surface.rings) == len(surface.inside) == len(people) == 2 * PATIENTS


@pytest.mark.parametrize("edge_px", [0, 2, 4])
def test_the_soft_edge_is_read_from_the_holes_of_fills_whose_masks_are_ellipses(edge_px: int) -> None:
    lent = np.array([a_mask(f"lesion {number}", 64) for number in range(6)])
    rule = HoleSettings("ellipse", 0.3, 2.0)
    table = pd.DataFrame({"hole_rule": [str(rule)] * len(lent)})
    ellipses = np.array([distance_from_ellipse(mask) <= 0 for mask in lent])
    fills = SimpleNamespace(table=table, masks=lambda _: ellipses, holes=lambda _: Holes(rule, edge_px).of(lent))
    assert holes_in(fills) == Holes(rule, edge_px)  # type: ignore[arg-type]


def test_the_kept_patches_are_those_of_the_fills_bit_for_bit(world: World) -> None:
    kept, table = world.selected, read_scores(world.selected)
    assert len(kept.table) == int(table["kept"].sum()) > 20
    assert kept.table["patch_id"].tolist() == table["patch_id"][table["kept"]].tolist()
    rows = np.flatnonzero(table["kept"])
    for before, after in zip(world.fills.pixels(rows), kept.pixels(np.arange(len(rows))), strict=True):
        assert np.array_equal(before, after)
    assert np.array_equal(world.fills.holes(rows), kept.holes(np.arange(len(rows))))
    counts = kept.manifest.counts
    assert counts["patches"] == len(rows)
    assert counts["benign"] == counts["malignant"]  # as many of each were painted
    assert counts["refused_copy"] > 1.8 * PATIENTS
    assert int(kept.dropped["count"].sum()) == len(table) - len(rows)
    assert "copy of a training lesion" in (kept.folder / "table.txt").read_text()
    assert decode_png((kept.folder / "kept_and_refused.png").read_bytes()).std() > 0


def test_thresholds_are_quantiles_of_real_validation_lesions_and_are_written_down(world: World) -> None:
    content = json.loads((world.selected.folder / "gate.json").read_text())
    assert content["quantiles"] == {name: getattr(SOME, name) for name in (*QUANTILES, "other_class")}
    rows = {name: world.patches.rows(split="validation", pathology=name) for name in ("benign", "malignant")}
    odds = {
        name: world.readers[0].logits(to_unit(world.patches.pixels(rows[name])[0])) for name in ("benign", "malignant")
    }
    own, other = np.quantile(odds["malignant"], SOME.class_fidelity), np.quantile(odds["benign"], SOME.other_class)
    (written,) = [
        one["threshold"]
        for one in content["thresholds"]
        if (one["score"], one["pathology"], one["classifiers"]) == ("class_fidelity", "malignant", [0])
    ]
    assert written == pytest.approx(max(own, other))
    table = read_scores(world.selected)
    passes = np.all([table[name] >= table[f"{name}_threshold"] for name in QUANTILES], axis=0)
    passes &= (table["nearest_training"] < content["copy_threshold"]) & (table["changed_outside"] == 0)
    assert (passes == (table["refused_for"] == "")).all()


def test_without_class_fidelity_no_fill_goes_for_its_class(world: World, tmp_path: Path) -> None:
    kept = world.select(tmp_path / "kept", replace(SOME, class_fidelity=0.0))
    assert kept.manifest.counts["refused_class_fidelity"] == 0
    written = json.loads((kept.folder / "gate.json").read_text())["thresholds"]
    assert {one["threshold"] for one in written if one["score"] == "class_fidelity"} == {None}


def test_who_keeps_a_part_of_the_own_lesion_is_no_copy_of_it(world: World, tmp_path: Path) -> None:
    def refused(name: str, begin_time: float, own: bool) -> int:
        rows = [row | {"begin_time": begin_time} for row in fill_rows(["copy"])]
        for row in rows if own else ():
            number = str(row["patient_id"]).rsplit("-", 1)[1]
            row["mask_donor_patient_id"] = row["patient_id"]
            row["mask_donor_patch_id"] = f"train-{row['pathology']}-{number}"
        fills = make_fills(tmp_path / name, rows, world.patches)
        return world.select(tmp_path / f"{name}-kept", synthetic=fills).manifest.counts["refused_copy"]

    assert refused("from-noise", 1.0, own=True) > 1.8 * PATIENTS
    assert refused("in-part", 0.5, own=True) < 0.1 * PATIENTS
    assert refused("of-others", 0.5, own=False) > 1.8 * PATIENTS


def test_a_fill_is_read_by_those_who_saw_neither_of_its_patients(world: World) -> None:
    table = read_scores(world.selected)
    third = [int(name.rsplit("-", 1)[1]) % 3 for name in table["patient_id"]]
    of_donor = [int(name.rsplit("-", 1)[1]) % 3 for name in table["mask_donor_patient_id"]]
    expected = [
        " ".join(str(part) for part in range(3) if part not in pair) for pair in zip(third, of_donor, strict=True)
    ]
    assert table["classifiers"].tolist() == expected
    content = json.loads((world.selected.folder / "gate.json").read_text())
    assert sum(one["fills_read"] for one in content["classifiers"]) == len(table)


def test_without_such_a_reader_there_is_no_selection(world: World, tmp_path: Path) -> None:
    with pytest.raises(LeakError) as refused:
        world.select(tmp_path / "x", classifiers=world.readers[:1])
    words = str(refused.value)
    assert "have no classifier that saw neither of their patients, such as good-benign-0" in words
    assert f"{world.readers[0].folder} learned from {train_patient(0)}" in words
    assert "select-patches --patients_share 0.333 --parts" in words
    assert not (tmp_path / "x").exists()


def test_who_learned_from_a_patient_under_another_name_is_no_reader(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Table:
        collection: str = "table"

    def made(name: str, patient: str, learned: tuple[LearnedFrom, ...] = ()) -> Artifact:
        mammograms = tmp_path / f"mammograms of {name}"
        with begin(mammograms, kind="mammograms", stage="ingest", settings=Table(), seed=0, inputs={}) as work:
            assert work is not None
            rows = pd.DataFrame({"mammogram_id": ["m"], "patient_id": [patient], "source_sha256": [name]})
            rows.to_parquet(work.folder / "mammograms.parquet")
            work.finish({})
        inputs = {"mammograms": open_any(mammograms)}
        with begin(tmp_path / name, kind="toy", stage="toy", settings=Table(), seed=0, inputs=inputs) as work:
            assert work is not None
            (work.folder / "toy.txt").write_text(name)
            work.finish({}, learned)
        return open_any(tmp_path / name)

    classifier = made("classifier", "P001", (LearnedFrom("train-classifier", ("P001",)),))
    assert patients_of(classifier, made("fills", "p 1")) == {"P001", "p 1"}
    assert patients_of(classifier, made("other fills", "P2")) == {"P001"}


def test_who_shares_nobody_with_the_infiller_is_preferred(world: World, tmp_path: Path) -> None:
    # The first reader knows nobody of whom the infiller learned, the second does; both know none of the fills.
    people = [train_patient(number) for number in range(0, PATIENTS, 3)]
    rows = [row for row in fill_rows(["good"]) if int(row["patient_id"].rsplit("-", 1)[1]) % 3 == 0]
    fills = make_fills(tmp_path / "fills", rows, world.patches, painter=[*people, train_patient(2)])
    readers = make_classifier(tmp_path / "apart", ["somebody-else"]), world.readers[2]
    found = read_scores(world.select(tmp_path / "out", synthetic=fills, classifiers=readers))
    assert set(found["classifiers"]) == {"0"}
    content = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert [one["patients_shared_with_the_infiller"] for one in content["classifiers"]] == [0, 1]


def test_the_control_draws_as_many_of_each_class_from_all_fills(world: World, tmp_path: Path) -> None:
    gated = world.select(tmp_path / "gated", synthetic=world.good)
    drawn = world.select(tmp_path / "drawn", replace(SOME, random=True), synthetic=world.good)
    other = world.select(tmp_path / "other", replace(SOME, random=True), synthetic=world.good, seed=2)
    for one in (drawn, other):
        assert one.table["pathology"].value_counts().to_dict()["benign"] > 5
        table = read_scores(one)
        assert (table["kept"] & (table["refused_for"] != "")).any(), "refused ones may be drawn"
        assert set(one.dropped["reason"]) == {"not_drawn"}
    counts = [one.table["pathology"].value_counts().to_dict() for one in (drawn, gated)]
    assert counts[0] == counts[1]
    assert set(drawn.table["patch_id"]) != set(other.table["patch_id"])


def test_whoever_learns_from_the_kept_has_the_whole_lineage(world: World) -> None:
    ways = world.selected.manifest.learned_patients()
    assert ways["validation-patient-0"] == ["select-synthetic (validation: choice of fills)"]
    assert ways[train_patient(0)] == ["train-classifier"]
    check_leaks([world.patches, world.selected])


def test_fills_of_eight_bits_have_not_changed_outside(world: World, tmp_path: Path) -> None:
    fills = make_fills(tmp_path / "fills", fill_rows(["good"]), world.patches, bits=8)
    selected = world.select(tmp_path / "out", synthetic=fills)
    assert set(read_scores(selected)["changed_outside"]) == {0}


class Saying(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_where_nothing_passes_the_set_is_empty_and_an_arm_with_it_learns_from_real_lesions_alone(
    world: World, tmp_path: Path
) -> None:
    fills = make_fills(tmp_path / "fills", fill_rows(["stamp"]), world.patches)
    heard = Saying()
    selected = select_synthetic(fills, world.patches, world.readers, tmp_path / "out", SOME, progress=heard)
    assert len(selected.table) == 0
    assert selected.manifest.counts["refused"] == len(fills.table)
    assert any("no fill of" in line and "none is kept" in line for line in heard.said)

    recipe = TrainClassifierSettings(network="shallow-cnn", weights="none", input_px=32, epochs=1)
    classifier = train_classifier([world.patches, selected], tmp_path / "classifier", recipe)
    assert classifier.manifest.counts["train_synthetic_benign"] == 0
    assert what_was_learned(classifier)["added"] == "generated", "it is the arm with generated patches all the same"
    assert synthetic_examples(selected, [world.patches, selected], 2, 0) == []


def test_what_cannot_be_selected_is_refused_in_words(world: World, tmp_path: Path) -> None:
    def refused(
        error: type[MammofillError], words: str, settings: SelectSyntheticSettings = SOME, **given: Any
    ) -> None:
        with pytest.raises(error, match=words):
            world.select(tmp_path / "x", settings, **given)

    def fills(name: str, **changes: Any) -> PatchSet:
        return make_fills(tmp_path / name, fill_rows(["good"], **changes), world.patches)

    refused(ArtifactError, "holds 180 real patches of 180", synthetic=world.patches)
    refused(
        ArtifactError, r"60 of 60 fills .* not in .*, such as 'gone'", synthetic=fills("a", context_patch_id="gone")
    )
    refused(
        ArtifactError,
        r"what was repainted \(hole_rule\), but says 'a square'",
        synthetic=fills("b", hole_rule="a square"),
    )
    leaking = fills("c", mask_donor_patient_id="validation-patient-4")
    refused(LeakError, "is of patient validation-patient-4, who is in the validation split", synthetic=leaking)
    nameless = fills("d", mask_donor_patient_id=None)
    refused(LeakError, "60 fills, such as good-benign-0, do not say whose tissue or whose outline", synthetic=nameless)
    refused(ArtifactError, "There is no classifier to read", classifiers=[])
    refused(ArtifactError, "is given twice", classifiers=[*world.readers, world.readers[0]])
    saw = make_classifier(tmp_path / "saw", ["validation-patient-3"], label="saw")
    refused(LeakError, "learned from 1 validation patient, such as validation-patient-3", classifiers=[saw])
    way = "train-classifier (mask donor of a synthetic patch)"
    learned = make_classifier(tmp_path / "learned", ["somebody"], way)
    refused(ArtifactError, "learned from generated patches", classifiers=[learned])
    refused(TooFewError, "thresholds are quantiles of at least 31", replace(SOME, least_real=31))
    assert not (tmp_path / "x").exists()


def test_validation_patients_may_have_chosen_the_weights_of_a_reader(world: World, tmp_path: Path) -> None:
    through = "train-classifier (validation: threshold, choice of weights)"
    chosen = make_classifier(tmp_path / "chosen", ["validation-patient-3"], through)
    assert isinstance(chosen, BrightestSpot)
    assert len(world.select(tmp_path / "out", synthetic=world.good, classifiers=[chosen]).table)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"class_fidelity": 1.0}, "class_fidelity must be in [0, 1)"),
        ({"other_class": -0.1}, "other_class must be in [0, 1)"),
        ({"ratio": 0.0}, "ratio must be above 0, or unset"),
        ({"top": 0}, "top must be at least 1, or unset"),
        ({"by": "beauty"}, "by must be all, class_fidelity, typicality, seam, detection or originality"),
        ({"folds": 2}, "folds must be at least 3"),
    ],
)
def test_nonsense_is_refused_by_name(field: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        SelectSyntheticSettings(**field)
    assert words in str(refused.value)
