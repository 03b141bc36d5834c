"""An infiller as a package: what goes along and what stays, its card, and that others can load it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "infilling"))


from painted import infiller_like, painted
from toy_infilling import World, make_world

from mammofill.export import ExportInfillerSettings, ExportPatchesSettings, export_infiller, export_patches
from mammofill.export.cards import TO_FILL
from mammofill.ground.artifact import begin, verify
from mammofill.ground.errors import ArtifactError, SettingsError
from mammofill.infilling import GanSettings, Infiller
from mammofill.patches import PatchSet


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def test_the_package_loads_elsewhere_and_says_what_it_is(world: World, tmp_path: Path) -> None:
    settings = ExportInfillerSettings(name="tiny", licence="CC-BY-4.0")
    package = export_infiller(world.infiller, tmp_path / "out", settings)  # which loads it in a process of its own
    names = {path.relative_to(package.package).as_posix() for path in package.package.rglob("*") if path.is_file()}
    assert {"__init__.py", "README.md", "LICENSE", "weights.safetensors", "network.json", "artifact.json"} <= names
    assert not [name for name in names if "preview" in name or "discriminator" in name]
    opened = package.infiller()
    verify(opened)
    assert opened.manifest.patients_learned_from == world.infiller.manifest.patients_learned_from
    patients = len(world.infiller.manifest.learned_patients())
    assert f"Patients: {patients} (" in package.card
    assert "- Licence: CC-BY-4.0" in package.card
    assert f"- Made by: {TO_FILL}" in package.card
    assert "no judgement was given" in package.card
    (entry,) = json.loads((package.folder / "medigan.json").read_text(encoding="utf-8")).values()
    assert set(entry) == {"execution", "selection", "description"}
    base = entry["execution"]["generate_method"]["args"]["base"]
    assert base == ["model_file", "num_samples", "output_path", "save_images"]


def test_several_calls_paint_other_fills_unless_a_seed_says_which(world: World, tmp_path: Path) -> None:
    package = export_infiller(world.infiller, tmp_path / "out", ExportInfillerSettings(name="tiny"))
    sheet = spec_from_file_location("tiny", package.package / "__init__.py")
    assert sheet is not None
    assert sheet.loader is not None
    entry = module_from_spec(sheet)
    sheet.loader.exec_module(entry)
    weights = str(package.package / "weights.safetensors")

    def names(seed: int | None, count: int, folder: str) -> list[str]:
        entry.generate(weights, count, str(tmp_path / folder), True, seed=seed)
        return sorted(path.name for path in (tmp_path / folder).glob("*[nt].png"))

    # As medigan asks for eight, three at a time: the last call may even be for none.
    assert [name[:8] for name in names(None, 3, "a") + names(None, 2, "b")] == [f"{seed:08d}" for seed in range(5)]
    assert entry.generate(weights, 0, str(tmp_path / "c"), False) == []
    again = entry.generate(weights, 3, "", False, seed=4)
    alone = entry.generate(weights, 1, "", False, seed=5)
    assert np.array_equal(again[1], alone[0])
    assert not np.array_equal(again[1], again[2])


def test_what_keeps_pieces_of_mammograms_is_refused(world: World, tmp_path: Path) -> None:
    inputs: dict[str, Infiller] = {}
    with begin(
        tmp_path / "bank", kind="infiller", stage="train-infiller", settings=GanSettings(), seed=0, inputs=inputs
    ) as work:
        assert work is not None
        network = world.infiller.network | {"method": "copy-paste"}
        (work.folder / "network.json").write_text(json.dumps(network), encoding="utf-8")
        work.finish({"benign": 1})
    with pytest.raises(ArtifactError, match="has no weights to export"):
        export_infiller(Infiller.open(tmp_path / "bank"), tmp_path / "out")


def test_a_name_that_python_cannot_import_is_refused() -> None:
    with pytest.raises(SettingsError, match="letters, digits and underscores"):
        ExportInfillerSettings(name="my-infiller")
    assert asdict(ExportInfillerSettings())["name"] == "mammofill_infiller"


def test_a_data_set_says_that_it_is_synthetic(fills: PatchSet, tmp_path: Path) -> None:
    made = export_patches(fills, tmp_path / "out", ExportPatchesSettings(licence="CC-BY-4.0"))
    assert made.card.startswith('---\nlicense: "cc-by-4.0"')
    assert "**All lesions are synthetic.**" in made.card
    assert "the lesion of no patient" in made.card
    assert "6 patches of 32 x 32 px" in made.card
    assert (made.folder / "data" / "patches-00000.parquet").read_bytes() == fills.shards[0].read_bytes()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("copy-paste", "**All lesions are real ones of patients, pasted into other tissue.**"),
        ("texture", "**All are shams"),
        (None, "is no longer at its place: it is not known whether they are synthetic, or real ones"),
    ],
)
def test_a_card_does_not_call_a_patients_lesion_nobodys(
    fills: PatchSet, tmp_path: Path, method: str | None, words: str
) -> None:
    patches = PatchSet.open(fills.folder.parent / "patches")
    infiller = infiller_like(tmp_path / "infiller", method) if method else None
    pasted = painted(patches, patches.table.index[:2], tmp_path / "pasted", infiller=infiller)
    card = export_patches(pasted, tmp_path / "out", ExportPatchesSettings()).card
    assert words in card
    assert "lesion of no patient" not in card
    assert "are synthetic**" not in card
    assert f"({method or 'method not known'})" in card
    assert "it may be passed on only where that is permitted" in card


def test_a_set_with_real_patches_is_refused(fills: PatchSet, tmp_path: Path) -> None:
    real = PatchSet.open(fills.folder.parent / "patches")
    with pytest.raises(ArtifactError, match=f"{len(real.table)} of {len(real.table)} patches are real"):
        export_patches(real, tmp_path / "out")
