"""Lesions painted into windows that somebody chose in a mammogram: cut, refused, painted, kept, handed on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion
from starlette.testclient import TestClient
from test_studio import ids_of, wait_for
from toy_studio import SIZE_PX, a_disc, client_of, infiller_of, make_folder, packed

from mammofill.ground.errors import LeakError, MammofillError, SettingsError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import Infiller, preset, train_infiller
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.pairing import PairPatchesSettings, pair_patches
from mammofill.pairing.hole import HoleSettings
from mammofill.patches import ExtractPatchesSettings, PatchSet, Place, cut_patch, extract_patches
from mammofill.phantom import PhantomSettings, write_phantoms
from mammofill.synthesis import (
    HandFill,
    hole_for,
    keep_painted,
    keep_painted_windows,
    over_own,
    paint_patch,
    patch_of,
    refusal,
    windows_for,
)
from mammofill.web.studio import Studio
from mammofill.web.windows import around


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the studio's that has mammograms too, with what extract-patches cuts of them."""
    place = make_folder(tmp_path_factory.mktemp("filmed"))
    write_phantoms(place / "films", PhantomSettings(patients=6, height_px=300, width_px=200, test_share=0.34), seed=3)
    ingest(place / "films", place / "mammograms", IngestSettings(height_px=300))
    cut = ExtractPatchesSettings(size_px=SIZE_PX, stride_px=16, normals_per_mammogram=None)
    extract_patches(MammogramSet.open(place / "mammograms"), place / "windows", cut)
    return place


@pytest.fixture
def client(filmed: Path) -> TestClient:
    opened, access = client_of(Studio(filmed))
    opened.get(f"/?token={access.token}")
    return opened


def cut_of(filmed: Path, pathology: str, split: str = "train") -> dict[str, Any]:
    """A window that extract-patches kept, all of it breast."""
    table = PatchSet.open(filmed / "windows").table
    chosen = table[(table["pathology"] == pathology) & (table["split"] == split) & (table["breast_share"] == 1)]
    return {str(name): value for name, value in chosen.iloc[0].items()}


def asked_for(filmed: Path, ids: dict[str, str], one: dict[str, Any]) -> dict[str, Any]:
    names = list(MammogramSet.open(filmed / "mammograms").mammograms["mammogram_id"])
    number = names.index(one["mammogram_id"])
    return {"mammograms": ids["mammograms"], "number": number, "top": int(one["top"]), "left": int(one["left"])}


@pytest.mark.parametrize("pathology", ["normal", "benign", "malignant"])
def test_a_window_is_cut_and_labelled_as_extract_patches_does(filmed: Path, pathology: str) -> None:
    patches, mammograms = PatchSet.open(filmed / "windows"), MammogramSet.open(filmed / "mammograms")
    for row in patches.rows(pathology=pathology)[:5]:
        facts = patches.table.iloc[row].to_dict()
        place = Place(facts["mammogram_id"], int(facts["top"]), int(facts["left"]))
        patch = cut_patch(mammograms, place, ExtractPatchesSettings(size_px=SIZE_PX))
        assert {name: facts[name] for name in patch.facts if patch.facts[name] is not None} == {
            name: value for name, value in patch.facts.items() if value is not None
        }
        (image,), (mask,) = patches.pixels([row])
        assert (patch.image == image).all()
        assert (patch.mask == mask).all()
        assert (patch.breast == patches.breasts([row])[0]).all()


def test_windows_that_extract_patches_would_drop_are_refused_with_the_reason(filmed: Path) -> None:
    mammograms = MammogramSet.open(filmed / "mammograms")
    settings = ExtractPatchesSettings(size_px=SIZE_PX)
    lesion = mammograms.lesions.iloc[0]
    facts = mammograms.facts(lesion["mammogram_id"])
    image = mammograms.image(lesion["mammogram_id"])
    said = set()
    for top in range(0, facts["rows"] - SIZE_PX, 8):
        for left in range(0, facts["columns"] - SIZE_PX, 8):
            try:
                cut_patch(mammograms, Place(lesion["mammogram_id"], top, left), settings)
            except MammofillError as error:
                said.add(str(error).split(": ", 1)[1].split(".")[0])
    assert any("breast covers too little" in one for one in said)
    assert any("this window cuts a lesion" in one for one in said)
    assert any("a lesion lies so near" in one for one in said)
    with pytest.raises(SettingsError, match="does not lie inside the mammogram"):
        cut_patch(mammograms, Place(lesion["mammogram_id"], image.shape[0] - SIZE_PX + 1, 0), settings)
    with pytest.raises(SettingsError, match="has no mammogram 'nobody'"):
        cut_patch(mammograms, Place("nobody", 0, 0), settings)


def test_the_page_is_told_where_the_window_lies_and_why_not(client: TestClient, filmed: Path) -> None:
    ids = ids_of(client)
    one = cut_of(filmed, "normal")
    asked = asked_for(filmed, ids, one)
    middle = {"row": one["top"] + SIZE_PX // 2, "column": one["left"] + SIZE_PX // 2}
    address = f"/api/mammograms/{ids['mammograms']}/{asked['number']}/window"
    infiller = ids["infillers/pasted"]
    found = client.get(address, params={"infiller": infiller, **middle}).json()
    assert (found["top"], found["left"], found["size_px"]) == (one["top"], one["left"], SIZE_PX)
    assert (found["refused"], found["pathology"], found["split"]) == ("", "normal", "train")
    raw = client.get(f"{address}/{one['top']}/{one['left']}/raw", params={"infiller": infiller}).content
    image = MammogramSet.open(filmed / "mammograms").image(one["mammogram_id"])
    shown = np.frombuffer(raw, "<u2").reshape(SIZE_PX, SIZE_PX)
    assert (shown == image[one["top"] : one["top"] + SIZE_PX, one["left"] : one["left"] + SIZE_PX]).all()
    # Outside of the mammogram it is the nearest window, in a corner, which is film.
    corner = client.get(address, params={"infiller": infiller, "row": 10**9, "column": 10**9}).json()
    assert corner["top"] == image.shape[0] - SIZE_PX
    assert "breast covers too little of this window" in corner["refused"]


def test_patients_are_not_named_to_other_machines_where_a_window_is_refused(filmed: Path) -> None:
    client, access = client_of(Studio(filmed, name_patients=False))
    client.get(f"/?token={access.token}")
    ids = ids_of(client)
    mammograms = MammogramSet.open(filmed / "mammograms")
    params = {"infiller": ids["infillers/pasted"], "row": 0, "column": 0}
    for number, name in enumerate(mammograms.mammograms["mammogram_id"]):
        answer = client.get(f"/api/mammograms/{ids['mammograms']}/{number}/window", params=params)
        assert answer.status_code == 200
        assert name not in answer.text
        refused = answer.json()["refused"]
        assert not refused or refused.startswith("This mammogram")


def painting(client: TestClient, filmed: Path, pathology: str = "normal", split: str = "train") -> dict[str, Any]:
    ids = ids_of(client)
    window = asked_for(filmed, ids, cut_of(filmed, pathology, split))
    fills = [{"pathology": name, "seed": 4} for name in ("benign", "malignant")]
    return {"window": window, "mask": packed(a_disc()), "infillers": [ids["infillers/pasted"]], "fills": fills}


def test_a_lesion_is_painted_into_a_mammogram_and_kept_with_its_lineage(client: TestClient, filmed: Path) -> None:
    asked = painting(client, filmed)
    name = client.post("/api/paint", json=asked).json()["painting"]
    assert wait_for(client, name) == {"state": "done", "done": 2, "error": ""}
    shown = np.frombuffer(client.get(f"/api/paint/{name}/fill/1").content, "<u2").reshape(SIZE_PX, SIZE_PX)

    ids = ids_of(client)
    donor = int(PatchSet.open(filmed / "patches").rows(split="train", pathology="malignant")[0])
    fill = {"window": asked["window"], "mask": asked["mask"], "pathology": "malignant", "seed": 4}
    keeping = {"name": "on-film", "patches": ids["patches"], "infiller": ids["infillers/pasted"]}
    answer = client.post("/api/keep", json=keeping | {"fills": [fill, fill | {"donor_row": donor, "seed": 5}]})
    assert answer.json()["place"] == "studio/on-film"
    kept = PatchSet.open(filmed / "studio" / "on-film")
    tissue = PatchSet.open(filmed / "studio" / "on-film-tissue")
    assert (kept.pixels([0])[0][0] == shown).all()
    assert {one.role for one in kept.manifest.inputs} == {"infiller", "patches", "outlines"}
    assert [one.role for one in tissue.manifest.inputs] == ["mammograms"]
    assert len(tissue.table) == 1
    assert list(kept.table["context_patch_id"]) == [tissue.table["patch_id"].iloc[0]] * 2
    assert list(kept.table["mask_donor_patch_id"])[1] == "train-malignant-0"
    assert kept.table["mammogram_id"].iloc[0] == tissue.table["mammogram_id"].iloc[0]
    again = client.post("/api/keep", json=keeping | {"fills": [fill]})
    assert "already" in again.json()["error"]

    pytest.importorskip("highdicom", reason="the extra dicom-out is not installed")
    from mammofill.export import export_dicom

    export = export_dicom(kept, filmed / "dicom")  # which finds the mammograms by the lineage
    assert list(export.lineage["pixels_changed_outside"]) == [0, 0]


def test_nothing_of_a_mammogram_of_the_test_split_is_kept(client: TestClient, filmed: Path) -> None:
    asked = painting(client, filmed, split="test")
    ids = ids_of(client)
    fill = {"window": asked["window"], "mask": asked["mask"], "pathology": "benign", "seed": 4}
    answer = client.post("/api/keep", json={"name": "tested", "infiller": ids["infillers/pasted"], "fills": [fill]})
    assert answer.status_code == 400
    assert "of the test split" in answer.json()["error"]
    assert not list((filmed / "studio").glob("tested*")) if (filmed / "studio").exists() else True


def whole_lesions(mammograms: MammogramSet, infiller: Infiller) -> Iterator[tuple[Place, np.ndarray]]:
    """Windows with a whole lesion of the train split in their middle, and its mask."""
    for lesion in mammograms.lesions.to_dict("records"):
        facts = mammograms.facts(lesion["mammogram_id"])
        height, width = mammograms.mask_in_box(lesion["lesion_id"]).shape
        middle = lesion["top"] + height // 2, lesion["left"] + width // 2
        top, left = around(*middle, SIZE_PX, (facts["rows"], facts["columns"]))
        place = Place(lesion["mammogram_id"], top, left)
        with suppress(MammofillError):
            own = cut_patch(mammograms, place, windows_for(infiller)).mask
            if facts["split"] == "train" and own.any() and not touches_border(own):
                yield place, own


def test_a_lesion_of_the_windows_own_must_be_painted_over_as_a_whole(filmed: Path) -> None:
    mammograms, infiller = MammogramSet.open(filmed / "mammograms"), infiller_of(filmed)
    place, own = next(whole_lesions(mammograms, infiller))
    window = cut_patch(mammograms, place, windows_for(infiller))
    beside = np.zeros_like(own)
    beside[6:12, 6:12] = True
    fill = HandFill(str(window.facts["patch_id"]), beside, "benign", 1)
    with pytest.raises(MammofillError, match="has a lesion of its own, which must lie in the hole with 2 px around it"):
        keep_painted_windows(infiller, mammograms, [place], [fill], filmed / "never")
    assert not list(filmed.glob("never*"))


def test_windows_of_other_mammograms_and_patches_are_not_mixed(client: TestClient, filmed: Path) -> None:
    asked, ids = painting(client, filmed), ids_of(client)
    fills = [
        {"window": asked["window"], "mask": asked["mask"], "pathology": "benign", "seed": 4},
        {"row": 0, "mask": asked["mask"], "pathology": "benign", "seed": 4},
    ]
    keeping = {"name": "mixed", "patches": ids["patches"], "infiller": ids["infillers/pasted"], "fills": fills}
    answer = client.post("/api/keep", json=keeping)
    assert answer.status_code == 400
    assert "A set has tissue of one kind" in answer.json()["error"]


# ---- attacks


@pytest.mark.parametrize(
    "path",
    [
        "/api/mammograms/{id}/0/window/-1/0/raw?infiller={infiller}",
        "/api/mammograms/{id}/0/window/99999999999999999999/0/raw?infiller={infiller}",
        "/api/mammograms/{id}/-1/window/0/0/raw?infiller={infiller}",
        "/api/mammograms/{id}/9999/window/0/0/mask?infiller={infiller}",
        "/api/mammograms/{id}/0/window/0/0/image.tiff?infiller={infiller}",
        "/api/mammograms/{id}/0/window/0/0/raw?infiller=../../etc",
        "/api/mammograms/{id}/0/window/0/0/raw",
        "/api/mammograms/{id}/0/window?infiller={infiller}&row=-1&column=0",
        "/api/mammograms/{id}/0/window?infiller={infiller}&row=x&column=0",
        "/api/mammograms/..%2f..%2fetc/0/window?infiller={infiller}&row=0&column=0",
        "/api/mammograms/{infiller}/0/window?infiller={id}&row=0&column=0",
    ],
)
def test_windows_out_of_range_are_refused_in_words(client: TestClient, filmed: Path, path: str) -> None:
    ids = ids_of(client)
    answer = client.get(path.format(id=ids["mammograms"], infiller=ids["infillers/pasted"]))
    assert answer.status_code in (400, 404, 422)
    assert str(filmed) not in answer.text


@pytest.mark.parametrize(
    "change", [{"top": 10**30}, {"top": -1}, {"left": 10**6}, {"number": 999}, {"mammograms": "../x"}]
)
def test_painting_out_of_range_is_refused(client: TestClient, filmed: Path, change: dict[str, Any]) -> None:
    asked = painting(client, filmed)
    answer = client.post("/api/paint", json=asked | {"window": asked["window"] | change})
    assert answer.status_code in (400, 404, 422)
    assert str(filmed) not in answer.text


def test_windows_are_shown_to_nobody_without_the_token(filmed: Path) -> None:
    client, _ = client_of(Studio(filmed))
    assert client.get("/api/mammograms/x/0/window?infiller=x&row=0&column=0").status_code == 401
    assert client.get("/api/mammograms/x/0/window/0/0/raw?infiller=x").status_code == 401


def test_the_split_is_checked_before_anything_is_written(filmed: Path) -> None:
    mammograms, infiller = MammogramSet.open(filmed / "mammograms"), infiller_of(filmed)
    one = cut_of(filmed, "normal", "test")
    place = Place(one["mammogram_id"], int(one["top"]), int(one["left"]))
    with pytest.raises(LeakError, match="real and of the test split"):
        keep_painted_windows(
            infiller, mammograms, [place], [HandFill(one["patch_id"], a_disc(), "benign", 1)], filmed / "no"
        )
    assert not list(filmed.glob("no-tissue*"))


def test_a_patchs_own_lesion_is_painted_over_as_a_whole_or_not_at_all(filmed: Path, tmp_path: Path) -> None:
    patches, infiller = PatchSet.open(filmed / "patches"), infiller_of(filmed)
    rows = patches.rows(split="train", pathology=("benign", "malignant"))
    drawn = [(one, binary_dilation(one.mask, iterations=2)) for one in (patch_of(patches, int(row)) for row in rows)]
    patch, mask = next((one, mask) for one, mask in drawn if refusal(mask, one, infiller) is None)
    part = binary_erosion(patch.mask)
    assert "the patch has a lesion of its own, which must lie in the hole" in str(refusal(part, patch, infiller))
    fill = HandFill(str(patch.facts["patch_id"]), mask, "malignant", seed=1)
    painted = paint_patch(infiller, patch, [fill])[0]
    hole = hole_for(mask, infiller)
    assert not (patch.mask & ~hole).any()
    assert (painted[patch.mask] != patch.image[patch.mask]).mean() > 0.5
    kept = keep_painted(infiller, patches, [fill], tmp_path / "over-a-lesion")
    assert kept.table["context_pathology"].tolist() == [patch.facts["pathology"]]
    assert np.array_equal(kept.pixels([0])[0][0], painted)


def test_an_infiller_of_the_mask_alone_paints_over_a_lesion_with_its_margin(filmed: Path, tmp_path: Path) -> None:
    shutil.copytree(filmed / "patches", tmp_path / "patches")
    patches = PatchSet.open(tmp_path / "patches")
    pairs = pair_patches(patches, tmp_path / "pairs", PairPatchesSettings(hole=HoleSettings()))
    settings = replace(preset("copy-paste"), hole=HoleSettings())
    alone = train_infiller(patches, pairs, tmp_path / "alone", settings)
    wider = infiller_of(filmed)
    row = int(patches.rows(split="train", pathology="malignant")[0])
    patch = patch_of(patches, row)
    assert "with 2 px around it, or both would show; the infiller repaints the mask." in str(
        refusal(patch.mask, patch, alone)
    )
    mask, grown_px = over_own(patch.mask, alone)
    assert grown_px == 2
    assert np.array_equal(mask, binary_dilation(patch.mask, iterations=2) | mask)
    assert refusal(mask, patch, alone) is None
    near, by = over_own(patch.mask, wider)
    assert np.array_equal(near, patch.mask)
    assert by == 0

    client, access = client_of(Studio(tmp_path))
    client.get(f"/?token={access.token}")
    ids = {one["place"]: one["id"] for one in client.get("/api/artifacts").json()["artifacts"]}
    said = client.post("/api/over-own", json={"patches": ids["patches"], "row": row, "infiller": ids["alone"]}).json()
    assert said == {"mask": packed(mask), "grown_px": 2}
    asked = {"patches": ids["patches"], "row": row, "infiller": ids["alone"], "mask": said["mask"]}
    assert client.post("/api/hole", json=asked).json()["refused"] is None
