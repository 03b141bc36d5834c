from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy_infilling as toy
from toy_flow import tiny_flow
from toy_infilling import HOLE, World, tiny

from mammofill.ground.errors import ArtifactError, DeviceError, LeakError, PlanChangedError, SettingsError, TooFewError
from mammofill.ground.progress import Progress, Task
from mammofill.infilling import Infiller, preset, train_infiller
from mammofill.pairing import PairPatchesSettings, Pairs, pair_patches
from mammofill.pairing.pixels import paired_pixels
from mammofill.patches import PatchSet
from mammofill.synthesis import SynthesizeSettings, synthesize

SOME = SynthesizeSettings(benign=3, malignant=4, patches_per_shard=2)


class Stopping(Progress):
    def __init__(self, after: int) -> None:
        self.after = after

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        yield self  # type: ignore[misc]

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.after -= int(steps)
        if self.after <= 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return synthesize(
        world.infiller, world.pairs, world.patches, tmp_path_factory.mktemp("made") / "made", SOME, seed=3
    )


@pytest.mark.parametrize(
    ("settings", "real", "wanted"),
    [
        # The paper's counts: 673 more benign patches; a quarter of 3,723 is more than that.
        (SynthesizeSettings(), (2198, 1525), (129, 802)),
        (SynthesizeSettings(ratio=0), (2198, 1525), (0, 673)),
        (SynthesizeSettings(ratio=0), (10, 10), (0, 0)),
        (SynthesizeSettings(ratio=0.5), (6, 10), (6, 2)),
        (SynthesizeSettings(ratio=0.1), (6, 10), (4, 0)),
        (SynthesizeSettings(ratio=1, balance=False), (6, 3), (6, 3)),
        (SynthesizeSettings(benign=7), (10, 4), (7, 6)),
        (SynthesizeSettings(benign=7, malignant=0), (10, 4), (7, 0)),
    ],
)
def test_how_many_are_made(settings: SynthesizeSettings, real: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert settings.counts_for({"benign": real[0], "malignant": real[1]}) == dict(
        zip(("benign", "malignant"), wanted, strict=True)
    )


@pytest.mark.parametrize("real", [(5, 9), (8, 8), (100, 3), (7, 8)])
@pytest.mark.parametrize("ratio", [0, 0.1, 0.25, 1, 3])
def test_balance_means_equal_counts(real: tuple[int, int], ratio: float) -> None:
    counts = SynthesizeSettings(ratio=ratio).counts_for({"benign": real[0], "malignant": real[1]})
    assert real[0] + counts["benign"] == real[1] + counts["malignant"]
    assert sum(counts.values()) >= round(ratio * sum(real))
    assert min(counts.values()) >= 0


def test_the_classes_of_the_train_split_are_balanced_by_default(world: World, tmp_path: Path) -> None:
    made = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out")
    counts = made.table["pathology"].value_counts()
    assert 10 + counts.get("benign", 0) == 6 + counts["malignant"]


def test_each_row_says_where_it_comes_from(world: World, made: PatchSet) -> None:
    table, pairs = made.table, world.pairs.table.set_index("pair_id")
    real = world.patches.table.set_index("patch_id")
    assert table["pathology"].value_counts().to_dict() == {"malignant": 4, "benign": 3}
    assert (table["origin"] == "synthetic").all()
    assert (table["split"] == "train").all()
    assert (table["infiller"] == world.infiller.fingerprint).all()
    assert table["patch_id"].is_unique
    assert table["seed"].is_unique
    for row in table.to_dict("records"):
        pair = pairs.loc[row["patch_id"].removesuffix(f"-{row['pathology']}-0")]
        assert row["context_patch_id"] == pair["context_patch_id"]
        assert row["mask_donor_patch_id"] == pair["mask_donor_patch_id"]
        assert row["mask_donor_patient_id"] == pair["mask_donor_patient_id"]
        assert row["patient_id"] == pair["context_patient_id"]
        assert row["pathology"] == pair["requested_pathology"]
        assert row["mammogram_id"] == real.loc[row["context_patch_id"], "mammogram_id"]
    assert made.manifest.counts == {"patches": 7, "benign": 3, "malignant": 4, "fills_of_used_pairs": 0}
    assert len(made.dropped) == 0


def test_what_shaped_the_infiller_is_carried_on(world: World, made: PatchSet) -> None:
    assert made.manifest.patients_learned_from == world.infiller.manifest.patients_learned_from


def test_pixels_outside_the_hole_and_its_soft_edge_are_the_context(world: World, made: PatchSet) -> None:
    row_of = {name: row for row, name in enumerate(world.patches.table["patch_id"])}
    contexts, _ = world.patches.pixels([row_of[name] for name in made.table["context_patch_id"]])
    images, masks = made.pixels(range(len(made.table)))
    may_change = made.holes(range(len(made.table)))
    lent = paired_pixels(world.patches, pairs_of(world, made))[1]
    assert np.array_equal(may_change, world.infiller.may_change(lent))
    assert (made.table["hole_rule"] == str(world.infiller.hole)).all()
    assert masks.any(axis=(1, 2)).all()
    assert (~may_change).any(axis=(1, 2)).all()
    assert np.array_equal(images[~may_change], contexts[~may_change])
    assert (images[masks] != contexts[masks]).mean() > 0.9


def pairs_of(world: World, made: PatchSet) -> pd.DataFrame:
    """The pairs that the rows of a set were made from, one for each."""
    names = [name.removesuffix(f"-{word}-0") for name, word in zip(made.table["patch_id"], made.table["pathology"],
                                                                   strict=True)]  # fmt: skip
    return world.pairs.table.set_index("pair_id").loc[names].reset_index()


def test_a_row_and_its_pair_are_enough_to_make_its_picture_again(world: World, made: PatchSet) -> None:
    images, masks = made.pixels([4])
    row = made.table.iloc[4]
    context, lent, _, _ = paired_pixels(world.patches, pairs_of(world, made).iloc[[4]])
    again = world.infiller.infill(context, lent, [row["pathology"]], [int(row["seed"])])
    assert np.array_equal(again, images)
    assert row["mask_is"] == "ellipse"
    assert np.array_equal(world.infiller.masks_of_fills(lent), masks)


def test_same_seed_same_set_and_shards_change_no_picture(world: World, made: PatchSet, tmp_path: Path) -> None:
    again = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "again", SOME, seed=3)
    assert again.fingerprint == made.fingerprint
    one_shard = SynthesizeSettings(benign=3, malignant=4, patches_per_shard=100)
    together = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "together", one_shard, seed=3)
    assert together.table.equals(made.table)
    for one, other in zip(together.pixels(range(7)), made.pixels(range(7)), strict=True):
        assert np.array_equal(one, other)
    other = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "other", SOME, seed=4)
    assert other.fingerprint != made.fingerprint


def test_stopped_and_continued_equals_uninterrupted(world: World, made: PatchSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        synthesize(world.infiller, world.pairs, world.patches, out, SOME, seed=3, progress=Stopping(after=5))
    assert len(list((tmp_path / "out.partial").glob("patches-*.parquet"))) == 2
    done = (tmp_path / "out.partial" / "patches-00000.parquet").stat().st_mtime_ns
    continued = synthesize(world.infiller, world.pairs, world.patches, out, SOME, seed=3)
    assert continued.fingerprint == made.fingerprint
    assert (out / "patches-00000.parquet").stat().st_mtime_ns == done


def test_changed_settings_are_refused_by_name(world: World, made: PatchSet) -> None:
    changed = SynthesizeSettings(benign=2, malignant=4, patches_per_shard=2)
    with pytest.raises(PlanChangedError, match=r"settings.benign: was 3, now 2"):
        synthesize(world.infiller, world.pairs, world.patches, made.folder, changed, seed=3)


def test_the_other_class(world: World, tmp_path: Path) -> None:
    settings = SynthesizeSettings(benign=2, malignant=2, requested_class="other")
    made = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out", settings)
    truth = dict(zip(world.patches.table["patch_id"], world.patches.table["pathology"], strict=True))
    for row in made.table.to_dict("records"):
        assert {row["pathology"], truth[row["mask_donor_patch_id"]]} == {"benign", "malignant"}


def test_both_classes_of_a_pair_differ_in_nothing_else(world: World, tmp_path: Path) -> None:
    settings = SynthesizeSettings(benign=2, malignant=3, requested_class="both")
    made = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out", settings)
    assert made.manifest.counts == {"patches": 10, "benign": 5, "malignant": 5, "fills_of_used_pairs": 0}
    assert made.table["patch_id"].is_unique
    images, masks = made.pixels(range(10))
    for _, two in made.table.groupby("seed"):
        assert sorted(two["pathology"]) == ["benign", "malignant"]
        for name in ("context_patch_id", "mask_donor_patch_id", "abnormality"):
            assert two[name].nunique() == 1
        one, other = two.index
        assert np.array_equal(masks[one], masks[other])
        assert (images[one][masks[one]] != images[other][masks[one]]).any()


@pytest.mark.parametrize(("requested_class", "told"), [("donor", "round"), ("other", None), ("both", None)])
def test_what_goes_with_the_class_is_asked_for_where_the_donors_class_alone_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requested_class: Any, told: str | None
) -> None:
    infiller = Infiller(world.infiller.folder, world.infiller.manifest)
    monkeypatch.setitem(infiller.__dict__, "network", world.infiller.network | {"conditions": ["pathology", "shape"]})
    monkeypatch.setattr("mammofill.synthesis.fill.words_in", lambda table, fact: ("round",) * len(table))
    asked: list[str | None] = []

    def infill(*args: Any, facts: Any, **more: Any) -> np.ndarray:
        asked.extend(facts["shape"])
        return world.infiller.infill(*args, **more)

    monkeypatch.setattr(infiller, "infill", infill)
    settings = SynthesizeSettings(benign=2, malignant=2, requested_class=requested_class)
    synthesize(infiller, world.pairs, world.patches, tmp_path / "made", settings)
    assert set(asked) == {told}


@pytest.mark.parametrize("method", ["copy-paste", "texture"])
def test_every_method_makes_both_classes(world: World, tmp_path: Path, method: str) -> None:
    infiller = train_infiller(world.patches, world.pairs, tmp_path / "infiller", replace(preset(method), hole=HOLE))
    made = synthesize(infiller, world.pairs, world.patches, tmp_path / "made", SOME, seed=3)
    assert made.table["pathology"].value_counts().to_dict() == {"malignant": 4, "benign": 3}
    assert made.manifest.patients_learned_from == infiller.manifest.patients_learned_from
    test_pixels_outside_the_hole_and_its_soft_edge_are_the_context(World(world.patches, world.pairs, infiller), made)


def test_a_lesion_painted_over_another_says_of_both(world: World, tmp_path: Path) -> None:
    settings = PairPatchesSettings(
        contexts="lesion", own_class=False, own_margin_px=0, zoom=(1, 1.3), tries=200, hole=world.infiller.hole
    )
    pairs = pair_patches(world.patches, tmp_path / "pairs", settings)
    made = synthesize(world.infiller, pairs, world.patches, tmp_path / "made", SOME, seed=3)
    truth = world.patches.table.set_index("patch_id")["pathology"]
    for row in made.table.to_dict("records"):
        assert row["context_pathology"] == truth[row["context_patch_id"]] != "normal"
        assert row["patient_id"] != row["mask_donor_patient_id"], "two patients, both of whom the leak guard knows"
        assert row["pathology"] == truth[row["mask_donor_patch_id"]]
    rows = pd.Index(world.patches.table["patch_id"]).get_indexer(made.table["context_patch_id"])
    own = world.patches.masks(rows)
    holes = made.holes(range(len(made.table)))
    assert not (own & ~holes).any(), "nothing of the own lesion is left"


def test_a_lesion_of_which_a_ring_would_be_left_is_not_painted_over(world: World, tmp_path: Path) -> None:
    wider = replace(world.infiller.hole, plus_px=world.infiller.hole.plus_px + 1.5)
    settings = PairPatchesSettings(contexts="lesion", own_class=False, own_margin_px=1.5, tries=200, hole=wider)
    pairs = pair_patches(world.patches, tmp_path / "pairs", settings)
    words = r"lesions that are to be painted over would show around the fill, such as that of the patch 'train-"
    with pytest.raises(ArtifactError, match=words):
        synthesize(world.infiller, pairs, world.patches, tmp_path / "made", SOME, seed=3)


def test_what_the_infiller_is_told_of_the_donor_and_the_breast(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(conditions=("pathology", "abnormality"))
    infiller = train_infiller(world.patches, world.pairs, tmp_path / "infiller", settings)
    asked: list[object] = []
    paint = infiller.infill
    monkeypatch.setattr(infiller, "infill", lambda *args, **more: asked.append(more["facts"]) or paint(*args, **more))
    made = synthesize(infiller, world.pairs, world.patches, tmp_path / "made", SOME)
    assert [len(facts["abnormality"]) for facts in asked] == [2, 2, 2, 1]
    assert all(set(facts) == {"abnormality"} and set(facts["abnormality"]) == {"mass"} for facts in asked)
    assert set(made.table["abnormality"]) == {"mass"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"shift_rows_px": 14},
            r"the hole of the pair 'pair-\d+' touches the border of the patch, so that no whole lesion can be painted. "
            r"The infiller in .* repaints the ellipse of the mask grown by 0.1 radii and 1 px: make the pairs with "
            r"pair-patches --hole.rule ellipse --hole.share 0.1 --hole.plus_px 1 --hole.rim_px 0",
        ),
        ({"shift_rows_px": 99}, r"the mask of the pair 'pair-\d+' is empty, so that no lesion"),
    ],
)
def test_pairs_of_another_program_whose_masks_do_not_fit(
    world: World, tmp_path: Path, change: dict[str, int], words: str
) -> None:
    pairs = Pairs(world.pairs.folder, world.pairs.manifest)
    pairs.table = world.pairs.table.assign(**change)  # type: ignore[misc]
    with pytest.raises(ArtifactError, match=words):
        synthesize(world.infiller, pairs, world.patches, tmp_path / "out", SOME)


def test_pairs_are_used_again_only_when_they_run_out(world: World, tmp_path: Path) -> None:
    available = int((world.pairs.table["requested_pathology"] == "malignant").sum())
    settings = SynthesizeSettings(benign=0, malignant=available + 2)
    made = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out", settings)
    assert made.manifest.counts["fills_of_used_pairs"] == 2
    assert made.table["seed"].is_unique
    images, _ = made.pixels(range(len(made.table)))
    assert len({image.tobytes() for image in images}) == available + 2


def test_too_few_pairs(world: World, tmp_path: Path) -> None:
    settings = SynthesizeSettings(benign=0, malignant=50)
    with pytest.raises(
        TooFewError, match=r"50 malignant patches are to be made, but .* has \d pairs .*pairs_per_patch"
    ):
        synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out", settings)


def test_pairs_of_other_patches(world: World, tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(benign=9))
    with pytest.raises(ArtifactError, match=r"were not made from the patches in"):
        synthesize(world.infiller, world.pairs, patches, tmp_path / "out")


def test_an_infiller_of_another_size(world: World, tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(), size_px=16)
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    with pytest.raises(ArtifactError, match=r"fills patches of 32 px, but those in .* are 16 px"):
        synthesize(world.infiller, pairs, patches, tmp_path / "out")


def test_a_patient_of_the_test_split(world: World, tmp_path: Path) -> None:
    pairs = toy.make_pairs(tmp_path / "pairs", world.patches, split="test")
    with pytest.raises(LeakError, match=r"Patient 'test-patient-normal-0' is in the test split"):
        synthesize(world.infiller, pairs, world.patches, tmp_path / "out")


def test_a_class_that_the_infiller_never_saw(tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(benign=0, malignant=8))
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    infiller = train_infiller(patches, pairs, tmp_path / "infiller", tiny(allow_one_class=True))
    with pytest.raises(TooFewError, match=r"8 benign patches are to be made, but .* learned from no benign lesion"):
        synthesize(infiller, pairs, patches, tmp_path / "out")
    only = SynthesizeSettings(benign=0, malignant=3)
    assert len(synthesize(infiller, pairs, patches, tmp_path / "out", only).table) == 3


def test_a_device_that_is_not_there(world: World, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        synthesize(world.infiller, world.pairs, world.patches, tmp_path / "out", device="cuda:7")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratio": -1.0}, "ratio must be a number, at least 0"),
        ({"benign": -1}, "benign must be at least 0"),
        ({"requested_class": "any"}, "requested_class must be donor, other or both, but is 'any'"),
        ({"fills_per_pair": 0}, "fills_per_pair must be at least 1"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        SynthesizeSettings(**changes)  # type: ignore[arg-type]


def test_the_faces_need_no_torch() -> None:
    script = (
        "import sys; from mammofill.synthesis import synthesize, SynthesizeSettings; "
        "from mammofill.infilling import Infiller, PRESETS, GanSettings, train_infiller; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture(scope="module")
def partly(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Infiller, Pairs]:
    """An infiller that keeps half of what is in the hole, and the pairs for it."""
    folder = tmp_path_factory.mktemp("partly")
    flow = tiny_flow(hole=HOLE, previews=0, schedule=replace(tiny_flow().schedule, images=4))
    flow = replace(flow, sampling=replace(flow.sampling, begin_time=0.5))
    settings = PairPatchesSettings(contexts="lesion", outline="own", hole=HOLE, own_margin_px=0.0)
    pairs = pair_patches(world.patches, folder / "pairs", settings)
    return train_infiller(world.patches, pairs, folder / "infiller", flow), pairs


def test_a_real_lesion_is_repainted_in_part(world: World, partly: tuple[Infiller, Pairs], tmp_path: Path) -> None:
    made = synthesize(*partly, world.patches, tmp_path / "made", SOME)
    table = made.table
    assert (table["context_patch_id"] == table["mask_donor_patch_id"]).all()
    assert (table["patient_id"] == table["mask_donor_patient_id"]).all()
    assert (table["pathology"] == table["context_pathology"]).all()
    assert (table["begin_time"] == 0.5).all()
    row_of = {name: row for row, name in enumerate(world.patches.table["patch_id"])}
    contexts, _ = world.patches.pixels([row_of[name] for name in table["context_patch_id"]])
    images, _ = made.pixels(range(len(table)))
    holes = made.holes(range(len(table)))
    assert np.array_equal(images[~holes], contexts[~holes])
    assert (images[holes] != contexts[holes]).mean() > 0.9


def test_who_keeps_a_part_paints_over_own_lesions_of_their_own_class_only(
    world: World, partly: tuple[Infiller, Pairs], tmp_path: Path
) -> None:
    infiller, pairs = partly
    with pytest.raises(
        ArtifactError,
        match=r"begin_time 0.5\), but 12 of 12 pairs in .* are of the kind normal-tissue, where there is no",
    ):
        synthesize(infiller, world.pairs, world.patches, tmp_path / "a", SOME)
    with pytest.raises(SettingsError, match="the class of the lesion that is there, but requested_class is other"):
        synthesize(infiller, pairs, world.patches, tmp_path / "b", replace(SOME, requested_class="other"))


def test_what_begins_with_noise_says_so(made: PatchSet) -> None:
    assert (made.table["begin_time"] == 1).all()
