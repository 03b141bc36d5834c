from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from toy_studio import SIZE_PX, a_disc, client_of, infiller_of, make_comparison, make_judgement, packed

from mammofill.classifier import TrainClassifierSettings, train_classifier
from mammofill.experiment.listing import listing
from mammofill.ground.errors import BusyError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import Infiller
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.pairing.hole import HoleSettings
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches
from mammofill.phantom import PhantomSettings, write_phantoms
from mammofill.report.comparisons import lines_of_findings
from mammofill.report.judgements import read_judgement
from mammofill.synthesis import HandFill, hole_for, keep_painted, over_own, paint_by_hand, patch_of, refusal
from mammofill.web import studio as studio_module
from mammofill.web.folder_index import words_of
from mammofill.web.painting import MOST_WAITING, FillRequest, Painting, PaintQueue
from mammofill.web.studio import Studio


@pytest.fixture
def opened(folder: Path, tmp_path: Path) -> tuple[TestClient, Path]:
    place = tmp_path / "study"
    shutil.copytree(folder, place)
    client, access = client_of(Studio(place, name_patients=True))
    client.get(f"/?token={access.token}")
    return client, place


def ids_of(client: TestClient) -> dict[str, str]:
    return {one["place"]: one["id"] for one in client.get("/api/artifacts").json()["artifacts"]}


def order(client: TestClient, **changes: Any) -> dict[str, Any]:
    ids = ids_of(client)
    fills = [{"pathology": name, "seed": 4} for name in ("benign", "malignant")]
    asked = {"patches": ids["patches"], "row": 0, "mask": packed(a_disc()), "infillers": [ids["infillers/pasted"]]}
    return asked | {"fills": fills} | changes


def wait_for(client: TestClient, painting: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while (found := client.get(f"/api/paint/{painting}").json())["state"] in ("waits", "paints"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return dict(found)


def test_artifacts_are_listed_with_their_state_and_lineage(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    (place / "begun.partial").mkdir()
    found = {one["place"]: one for one in client.get("/api/artifacts").json()["artifacts"]}
    assert set(found) == {"patches", "pairs", "infillers/pasted", "begun.partial"}
    assert found["patches"]["usable"]
    assert not found["begun.partial"]["usable"]
    lineage = {one["role"]: one["id"] for one in found["infillers/pasted"]["inputs"]}
    assert lineage["patches"] == found["patches"]["id"]
    shutil.rmtree(place / "pairs")
    (made,) = [one for one in client.get("/api/artifacts").json()["artifacts"] if one["kind"] == "infiller"]
    (pairs,) = [one for one in made["inputs"] if one["role"] == "pairs"]
    assert pairs == {"role": "pairs", "path": "pairs", "id": None, "note": "no longer there"}


def test_what_was_made_from_a_collection_that_is_an_artifact_is_not_called_changed(tmp_path: Path) -> None:
    """Of a collection's folder no fingerprint is recorded, also where mammofill made it, as practice images."""
    settings = PhantomSettings(patients=5, height_px=150, width_px=100)
    write_phantoms(tmp_path / "practice", settings, seed=1)
    ingest(tmp_path / "practice", tmp_path / "mammograms", IngestSettings(height_px=150, split="auto"))
    client, access = client_of(Studio(tmp_path))
    client.get(f"/?token={access.token}")

    def source() -> dict[str, Any]:
        found = {one["place"]: one for one in client.get("/api/artifacts").json()["artifacts"]}
        (record,) = found["mammograms"]["inputs"]
        return dict(record)

    assert source()["id"] == ids_of(client)["practice"]
    assert source()["note"] == ""
    assert "from source ../practice\n" in listing(tmp_path) + "\n"
    extract_patches(
        MammogramSet.open(tmp_path / "mammograms"), tmp_path / "patches", ExtractPatchesSettings(size_px=32)
    )
    shutil.rmtree(tmp_path / "mammograms")
    ingest(tmp_path / "practice", tmp_path / "mammograms", IngestSettings(height_px=140, split="auto"))
    assert "from mammograms ../mammograms (another one by now)" in listing(tmp_path)
    found = {one["place"]: one for one in client.get("/api/artifacts").json()["artifacts"]}
    assert found["patches"]["inputs"][0]["note"] == "another one by now"


def test_a_reader_study_that_cannot_be_read_hides_no_other(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    (place / "torn.readers.sqlite").write_text("no database")
    (listed,) = client.get("/api/studies").json()
    assert listed["place"] == "torn.readers.sqlite"
    assert listed["error"].startswith("torn.readers.sqlite is no reader study")


def test_gallery_filters_and_pages(opened: tuple[TestClient, Path]) -> None:
    client, _ = opened
    name = ids_of(client)["patches"]
    found = client.get(f"/api/patches/{name}/rows?split=test&pathology=benign&offset=6&count=5").json()
    assert found["all"] == 8
    assert [one["patch_id"] for one in found["rows"]] == ["test-benign-6", "test-benign-7"]
    mine = client.get(f"/api/patches/{name}/rows?patient=TEST-benign-3").json()
    assert [one["patient_id"] for one in mine["rows"]] == ["patient-test-benign-3"]
    rows = ",".join(str(one["row"]) for one in found["rows"])
    assert client.get(f"/api/patches/{name}/sheet?rows={rows}").content.startswith(b"\x89PNG")
    assert "There is no split 'tset'" in client.get(f"/api/patches/{name}/rows?split=tset").json()["error"].replace(
        "there", "There"
    )


def test_masks_are_looked_at_once_to_find_what_can_be_painted_into(
    opened: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = opened
    name, decoded, masks = ids_of(client)["patches"], [], PatchSet.masks
    monkeypatch.setattr(PatchSet, "masks", lambda self, rows: decoded.extend(rows) or masks(self, rows))
    address = f"/api/patches/{name}/rows?whole=true&count=10&offset="
    pages = [client.get(f"{address}{offset}").json()["rows"] for offset in (0, 10, 0)]
    patches = PatchSet.open(place / "patches")
    table = patches.table
    whole = [not touches_border(mask) for mask in masks(patches, np.arange(len(table)))]
    fits = np.where(table["pathology"] == "normal", table["breast_share"] >= 0.97, whole)
    assert [one["row"] for one in pages[0] + pages[1]] == np.flatnonzero(fits)[:20].tolist()
    assert pages[2] == pages[0]
    assert len(decoded) == len(set(decoded))


def test_patches_are_offered_whose_lesion_the_infiller_can_paint_over(
    opened: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = opened
    monkeypatch.setattr(Infiller, "hole", HoleSettings("ellipse", share=1.0, plus_px=1.0))
    ids, infiller, patches = ids_of(client), infiller_of(place), PatchSet.open(place / "patches")
    address = f"/api/patches/{ids['patches']}/rows?whole=true&infiller={ids['infillers/pasted']}&count=100"
    offered = {one["row"] for one in client.get(address).json()["rows"]}
    lesions = {int(row) for name in ("benign", "malignant") for row in patches.rows(pathology=name)}
    can = set()
    for row in lesions:
        patch = patch_of(patches, row)
        if refusal(over_own(patch.mask, infiller)[0], patch, infiller) is None:
            can.add(row)
    assert offered & lesions == can
    assert 0 < len(can) < sum(not touches_border(mask) for mask in patches.masks(sorted(lesions)))
    normal = {int(row) for row in patches.rows(pathology="normal")}
    without = client.get(address.replace("infiller", "other")).json()["rows"]
    assert offered & normal == {one["row"] for one in without} & normal


def is_free(lock: Any) -> bool:
    free = lock.acquire(blocking=False)
    if free:
        lock.release()
    return bool(free)


def test_a_look_for_what_can_be_painted_into_is_short_and_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(folder)
    client, access = client_of(studio)
    client.get(f"/?token={access.token}")
    free, hole = [], studio_module.hole_for

    def hole_while_others_ask(*given: Any) -> np.ndarray:
        other = threading.Thread(target=lambda: free.append(is_free(studio.index.lock)))
        other.start()
        other.join()
        return hole(*given)

    monkeypatch.setattr(studio_module, "hole_for", hole_while_others_ask)
    ids = ids_of(client)
    address = f"/api/patches/{ids['patches']}/rows?whole=true&infiller={ids['infillers/pasted']}&count=100"
    at_once = client.get(address).json()
    assert free
    assert all(free)
    assert (at_once["looked_at"], at_once["left"]) == (72, 0)
    monkeypatch.setattr(studio_module, "_MOST_CHECKED", 30)
    client, access = client_of(Studio(folder))
    client.get(f"/?token={access.token}")
    parts = [client.get(address).json() for _ in range(3)]
    assert [(one["looked_at"], one["left"]) for one in parts] == [(30, 42), (60, 12), (72, 0)]
    assert len(parts[0]["rows"]) < len(parts[1]["rows"]) < len(parts[2]["rows"])
    assert parts[2]["rows"] == at_once["rows"]


def test_a_class_that_was_never_learned_is_not_painted(
    opened: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = opened
    monkeypatch.setattr(Infiller, "classes_learned", property(lambda self: {"benign": 0, "malignant": 7}))
    (one,) = client.get("/api/infillers").json()
    assert one["learned"] == ["malignant"]
    asked = client.post("/api/paint", json=order(client)).json()
    assert [fill["pathology"] for fill in asked["fills"]] == ["malignant"]
    wait_for(client, asked["painting"])
    refused = client.post("/api/paint", json=order(client, fills=[{"pathology": "benign", "seed": 1}]))
    assert refused.json()["error"] == "No infiller that is asked learned from benign lesions: it cannot paint them."


def test_outlines_that_are_lent_can_be_repainted_in_the_middle(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    ids, infiller = ids_of(client), infiller_of(place)
    patches = PatchSet.open(place / "patches")
    address = f"/api/patches/{ids['patches']}/outlines?infiller={ids['infillers/pasted']}&pathology="
    for pathology in ("benign", "malignant"):
        found = client.get(f"{address}{pathology}").json()
        lent = patches.table.iloc[found["rows"]]
        assert found["size_px"] == SIZE_PX
        assert len(lent)
        assert set(lent["split"]) == {"train"}
        assert set(lent["pathology"]) == {pathology}
        assert lent["lesion_ids"].is_unique
        for mask in patches.masks(found["rows"]):
            shift = [round(15.5 - float(where.mean())) for where in np.nonzero(mask)]
            assert not touches_border(hole_for(np.roll(mask, shift, (0, 1)), infiller))
    assert client.get(f"{address}normal").json()["rows"] == []


def test_patients_are_numbers_unless_their_names_are_asked_for(opened: tuple[TestClient, Path]) -> None:
    named, place = opened
    assert named.post("/api/keep", json=keeping(named)).status_code == 200
    client, access = client_of(Studio(place))
    client.get(f"/?token={access.token}")
    ids = ids_of(client)
    name, kept = ids["patches"], ids["studio/by-me"]
    answer = client.get(f"/api/patches/{name}/rows")
    assert answer.json()["all"] == 72
    assert [one["patient_id"] for one in answer.json()["rows"]][:2] == ["patient 1", "patient 2"]
    # A patient has one number in all sets: the fills are of the first and the second normal patch.
    fills = client.get(f"/api/patches/{kept}/rows")
    assert [one["patient_id"] for one in fills.json()["rows"]] == ["patient 1", "patient 1", "patient 2"]
    about = client.get(f"/api/artifacts/{kept}")
    assert about.json()["settings"]["fills"] == "3, not shown: they name patients"
    for one in (answer, fills, about, client.get("/api/artifacts"), client.get("/api/infillers")):
        assert "patient-" not in one.text
        assert "train-normal" not in one.text
    assert "train-normal-0" in named.get(f"/api/artifacts/{kept}").text
    assert client.get(f"/api/patches/{name}/rows?patient=test").status_code == 400


def test_fills_are_those_of_the_infiller(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    painting = client.post("/api/paint", json=order(client)).json()["painting"]
    assert wait_for(client, painting) == {"state": "done", "done": 2, "error": ""}
    shown = np.frombuffer(client.get(f"/api/paint/{painting}/fill/1").content, "<u2").reshape(SIZE_PX, SIZE_PX)
    patches = PatchSet.open(place / "patches")
    fill = HandFill(patches.table["patch_id"].iloc[0], a_disc(), "malignant", 4)
    assert (shown == paint_by_hand(infiller_of(place), patches, fill)).all()
    before = patches.pixels([0])[0][0]
    changed = shown != before
    assert changed.any()
    assert not changed[~infiller_of(place).may_change(a_disc()[None])[0]].any()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((SIZE_PX, SIZE_PX), bool), "the mask is empty"),
        (a_disc(radius=1.5), "a lesion needs at least 16"),
        (a_disc(column=8), "leaves the breast tissue"),
        (a_disc(row=28), "touches the border"),
    ],
)
def test_masks_that_cannot_be_filled_are_refused_with_the_reason(
    opened: tuple[TestClient, Path], mask: np.ndarray, words: str
) -> None:
    client, _ = opened
    asked = order(client, mask=packed(mask))
    shown = client.post("/api/hole", json={**asked, "infiller": asked["infillers"][0]}).json()
    assert words in shown["refused"]
    answer = client.post("/api/paint", json=asked)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def keeping(client: TestClient, **changes: Any) -> dict[str, Any]:
    ids = ids_of(client)
    fills = [
        {"row": row, "mask": packed(a_disc()), "pathology": name, "seed": 4, "donor_row": donor}
        for row, name, donor in ((0, "benign", None), (0, "malignant", 16), (1, "malignant", None))
    ]
    return {"name": "by-me", "patches": ids["patches"], "infiller": ids["infillers/pasted"], "fills": fills} | changes


def test_what_is_kept_is_learned_from_like_any_other_set(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    answer = client.post("/api/keep", json=keeping(client))
    assert answer.json()["place"] == "studio/by-me"
    kept = PatchSet.open(place / "studio" / "by-me")
    table = kept.table
    assert list(table["origin"]) == ["synthetic"] * 3
    assert list(table["mask_donor_patch_id"]) == ["train-normal-0", "train-malignant-0", "train-normal-1"]
    assert (table["infiller"] == infiller_of(place).fingerprint).all()
    patches = PatchSet.open(place / "patches")
    again = paint_by_hand(infiller_of(place), patches, HandFill("train-normal-0", a_disc(), "benign", 4))
    assert (kept.pixels([0])[0][0] == again).all()
    assert {one.role for one in kept.manifest.inputs} == {"infiller", "patches"}
    assert "studio/by-me" in ids_of(client)

    settings = TrainClassifierSettings(network="shallow-cnn", weights="none", input_px=32, epochs=1)
    trained = train_classifier([patches, kept], place / "classifier", settings)
    assert "patient-train-normal-0" in trained.manifest.learned_patients()


def test_fills_of_a_patch_are_kept_together_and_in_the_order_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network paints as many at once as fit into a batch, which costs as much as one."""
    infiller, patches = infiller_of(folder), PatchSet.open(folder / "patches")
    fills = [HandFill(f"train-normal-{number % 2}", a_disc(radius=4 + number), "benign", number) for number in range(3)]
    alone = [paint_by_hand(infiller, patches, fill) for fill in fills]
    painted_at_once = []

    def counted(self: Infiller, images: np.ndarray, *given: Any, **settings: Any) -> np.ndarray:
        painted_at_once.append(len(images))
        return infill(self, images, *given, **settings)

    infill = Infiller.infill
    monkeypatch.setattr(Infiller, "infill", counted)
    kept = keep_painted(infiller, patches, fills, tmp_path / "kept")
    assert painted_at_once == [2, 1]
    assert list(kept.table["seed"]) == [0, 1, 2]
    assert (kept.pixels([0, 1, 2])[0] == np.array(alone)).all()


def test_nothing_of_the_test_split_is_kept(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    row = int(PatchSet.open(place / "patches").rows(split="test", pathology="normal")[0])
    asked = keeping(client)
    asked["fills"][0]["row"] = row
    answer = client.post("/api/keep", json=asked)
    assert answer.status_code == 400
    assert "of the test split" in answer.json()["error"]
    assert not (place / "studio" / "by-me").exists()


def test_a_kept_set_is_never_written_over(opened: tuple[TestClient, Path]) -> None:
    client, _ = opened
    assert client.post("/api/keep", json=keeping(client)).status_code == 200
    again = client.post("/api/keep", json=keeping(client))
    assert again.status_code == 400
    assert "already" in again.json()["error"]


# ---- the queue


def test_too_many_paintings_are_refused_and_cancelled_ones_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def paint() -> np.ndarray:
        begun.set()
        assert go_on.wait(30)
        return np.zeros((1, 2, 2), np.uint16)

    queue = PaintQueue()
    at_work = queue.add([FillRequest([{}], paint), FillRequest([{}], paint)])
    assert begun.wait(30)
    waiting = [queue.add([FillRequest([{}], paint)]) for _ in range(MOST_WAITING)]
    with pytest.raises(BusyError, match="wait already. Wait until one is done, or cancel one"):
        queue.add([FillRequest([{}], paint)])
    assert queue.cancel(waiting[0].name).state == "cancelled"
    queue.add([FillRequest([{}], paint)])
    queue.cancel(at_work.name)
    go_on.set()
    ended(at_work)
    ended(waiting[-1])
    assert (at_work.state, len(at_work.fills)) == ("cancelled", 1)
    assert waiting[0].fills == []
    assert waiting[-1].state == "done"


def ended(painting: Painting) -> None:
    end = time.monotonic() + 30
    while painting.state in ("waits", "paints"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_queue_answers_429(opened: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = opened

    def full(*_: Any) -> None:
        raise BusyError("8 paintings wait already.")

    monkeypatch.setattr(PaintQueue, "add", full)
    answer = client.post("/api/paint", json=order(client))
    assert (answer.status_code, answer.json()["error"]) == (429, "8 paintings wait already.")


# ---- guidance


def test_guidance_is_refused_where_the_method_knows_none(folder: Path) -> None:
    infiller = Infiller.open(folder / "infillers" / "pasted")
    assert infiller.guidance is None
    with pytest.raises(Exception, match="has no guidance. Leave it out"):
        infiller.with_guidance(2.0)


def test_words_lose_the_studios_folder_and_no_word_of_theirs() -> None:
    said = "run/patches/table.parquet is missing: run the same command again"
    assert words_of(said, Path("run")) == "patches/table.parquet is missing: run the same command again"
    assert words_of("/home/a/run is no study, /home/a/run/x too", Path("/home/a/run")) == ". is no study, x too"


def test_a_comparison_says_what_the_report_says_with_its_numbers_and_its_arms(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    made = make_comparison(place)
    ids = ids_of(client)
    found = client.get(f"/api/comparisons/{ids['comparison']}").json()
    told = [found["in_short"], *(text for one in found["said"] for text in one["sentences"])]
    assert set(lines_of_findings(made)) <= set(told)
    (planned,) = (dict(zip(found["planned"]["columns"], row, strict=True)) for row in found["planned"]["rows"])
    (row,) = made.differences[made.differences["tested"]].itertuples()
    assert (planned["arm"], planned["against"]) == ("with fills", "plain")
    assert planned["verdict"] == row.verdict
    assert planned["difference (95 % CI)"].startswith(f"{row.difference:+.3f} [{row.low:+.3f}".replace("-", "−"))
    assert planned["gains less than 0.02"].startswith(f"{row.worth_less} (p ")
    assert [one[0] for one in found["described"]["rows"]] == ["with pasted"]
    assert {one[2] for one in found["by_other_measures"]["rows"]} >= {"accuracy", "AUC by patch"}
    assert {one["name"]: one["evaluations"] for one in found["arms"]} == {
        arm: [ids[f"{arm}-{seed}"] for seed in range(3)] for arm in ("plain", "with fills", "with pasted")
    }
    shutil.rmtree(place / "plain-1")
    (plain,) = (one for one in client.get(f"/api/comparisons/{ids['comparison']}").json()["arms"]
                if one["name"] == "plain")  # fmt: skip
    assert (plain["classifiers"], len(plain["evaluations"])) == (3, 2)


def test_a_judgement_says_what_the_report_says_with_its_measures_side_by_side(opened: tuple[TestClient, Path]) -> None:
    client, place = opened
    made = read_judgement(make_judgement(place / "judgement", "flow"))
    ids = ids_of(client)
    found = client.get(f"/api/judgements/{ids['judgement']}").json()
    assert (found["reading"], found["basis"]) == (list(made.reading), made.basis)
    assert found["remarks"] == list(made.remarks)
    assert found["columns"] == ["flow", "real lesions", "nothing painted"]
    assert [one["words"] for one in found["criteria"]] == [
        "The requested class", "The seam at the hole", "Variety and copies",
    ]  # fmt: skip
    (row,) = found["criteria"][0]["rows"]
    assert (row["measure"], row["wanted"]) == ("malignant above benign", "≥\u00a00.90")
    assert row["cells"][0] == ["0.930", "[0.880, 0.970]", "reached"]
    assert found["notes"]["contact_sheet.png"].startswith("One case per column: the context, the mask, the real lesion")
    refused = client.get(f"/api/judgements/{ids['patches']}")
    assert refused.status_code == 400
    assert "but a 'judgement' artifact is needed here" in refused.json()["error"]
