"""Reader studies: nothing tells who made a case, and nothing that was rated is lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_studio import CLASSES, HOST, SIZE_PX, a_disc, client_of, infiller_of

from mammofill import cli
from mammofill.ground.errors import ArtifactError, DamagedError, SettingsError, TooFewError
from mammofill.patches import PatchSet
from mammofill.readers import (
    PairStudy,
    ReaderStudy,
    ReaderStudySettings,
    analyse_readers,
    make_reader_study,
    open_study,
    reader_roc,
)
from mammofill.readers.make import as_shown
from mammofill.synthesis import HandFill, keep_painted, over_own, patch_of
from mammofill.web.app import _tag as tag_of
from mammofill.web.studio import Studio

TOLD = {"position", "cases", "side", "kind", "reader", "tag"}
"""What a reader is told of a case; nothing of them depends on who made it, nor on what was answered."""


@pytest.fixture(scope="session")
def painted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    patches = PatchSet.open(folder / "patches")
    fills = [
        HandFill(f"train-normal-{number}", a_disc(radius=4 + number % 3), pathology, number)
        for number, pathology in enumerate(["benign", "malignant"] * 4)
    ]
    return keep_painted(infiller_of(folder), patches, fills, tmp_path_factory.mktemp("painted") / "painted")


@pytest.fixture
def study(folder: Path, painted: PatchSet, tmp_path: Path) -> ReaderStudy:
    settings = ReaderStudySettings(cases=3, readers=3)
    return make_reader_study(
        PatchSet.open(folder / "patches"), painted, tmp_path / "s.readers.sqlite", settings, seed=5
    )


def truths(study: ReaderStudy) -> list[tuple[int, str, int]]:
    with sqlite3.connect(study.path) as database:
        return database.execute("SELECT number, pathology, synthetic FROM cases ORDER BY number").fetchall()


def read_all(study: ReaderStudy, code: str, sharp: bool) -> None:
    with sqlite3.connect(study.path) as database:
        order = json.loads(database.execute("SELECT cases FROM readers WHERE code = ?", (code,)).fetchone()[0])
    for position, number in enumerate(order):
        _, pathology, synthetic = truths(study)[number]
        rating = (90 if synthetic else 10) + number % 7 if sharp else 20 + (number * 37) % 60
        study.rate(code, position, rating, 80 if pathology == "malignant" else 15, 1.5)


def test_cases_are_as_many_of_each_kind_and_of_different_patients(study: ReaderStudy) -> None:
    kinds = [(pathology, synthetic) for _, pathology, synthetic in truths(study)]
    assert all(
        kinds.count((pathology, synthetic)) == 3 for pathology in ("benign", "malignant") for synthetic in (0, 1)
    )
    orders = {tuple(order) for order in orders_of(study)}
    assert len(orders) == 3
    assert all(sorted(order) == list(range(12)) for order in orders)


def test_nobodys_breast_is_seen_twice(folder: Path, tmp_path: Path) -> None:
    """A fill over a real lesion has its surroundings: beside that lesion they would tell that one was painted."""
    patches = PatchSet.open(folder / "patches")
    infiller, fills = infiller_of(folder), []
    for pathology in CLASSES[1:]:
        for row in patches.rows(origin="real", pathology=pathology)[:3]:
            mask, _ = over_own(patch_of(patches, int(row)).mask, infiller)
            fills.append(HandFill(patches.table["patch_id"].iloc[row], mask, pathology, len(fills)))
    painted = keep_painted(infiller, patches, fills, tmp_path / "painted")
    both = pd.concat([patches.table, painted.table]).set_index("patch_id")["patient_id"]
    for seed in range(8):
        place = tmp_path / f"{seed}.readers.sqlite"
        made = make_reader_study(patches, painted, place, ReaderStudySettings(cases=1), seed=seed)
        with sqlite3.connect(made.path) as database:
            names = [name for (name,) in database.execute("SELECT patch_id FROM cases")]
        assert both.loc[names].is_unique


def orders_of(study: ReaderStudy) -> list[list[int]]:
    with sqlite3.connect(study.path) as database:
        return [json.loads(one) for (one,) in database.execute("SELECT cases FROM readers")]


def test_the_same_seed_draws_the_same_cases_but_new_codes(
    folder: Path, painted: PatchSet, study: ReaderStudy, tmp_path: Path
) -> None:
    settings = ReaderStudySettings(cases=3, readers=3)
    again = make_reader_study(
        PatchSet.open(folder / "patches"), painted, tmp_path / "again.readers.sqlite", settings, seed=5
    )
    assert truths(again) == truths(study)
    assert orders_of(again) == orders_of(study)
    assert not set(again.codes()) & set(study.codes())


def test_nothing_that_a_reader_gets_tells_who_made_a_case(study: ReaderStudy, tmp_path: Path) -> None:
    client, _ = client_of(Studio(tmp_path))
    code = study.codes()[0]
    assert client.get(f"/read?code={code}").status_code == 200
    seen = []
    for position in range(12):
        turn = client.get("/api/read/next").json()
        tag = turn.pop("tag")
        assert turn == {"position": position, "cases": 12, "side": SIZE_PX, "kind": "ratings", "reader": 1}
        case = client.get(f"/api/read/case/{position}", params={"tag": tag})
        values = np.frombuffer(case.content, np.uint8)
        seen.append((len(case.content), values.min(), values.max(), sorted(case.headers)))
        given = {"position": position, "tag": tag, "synthetic": 40, "malignant": 60, "seconds": 2.0}
        assert set(client.post("/api/read/rating", json=given).json()) == TOLD
    assert all(one == (SIZE_PX**2, 0, 255, seen[0][3]) for one in seen)


@pytest.fixture
def pairs(folder: Path, painted: PatchSet, tmp_path: Path) -> ReaderStudy:
    settings = ReaderStudySettings(kind="pairs", cases=4, readers=3)
    real = PatchSet.open(folder / "patches")
    return make_reader_study(real, painted, tmp_path / "p.readers.sqlite", settings, seed=5)


def test_pairs_hold_a_real_and_a_synthetic_lesion_of_a_class_on_sides_of_their_own(pairs: ReaderStudy) -> None:
    with sqlite3.connect(pairs.path) as database:
        facts = {number: (pathology, synthetic) for number, pathology, synthetic in truths(pairs)}
        rows = database.execute("SELECT pathology, real, synthetic FROM pairs").fetchall()
    assert len(rows) == 8
    for pathology, real, synthetic in rows:
        assert facts[real] == (pathology, 0)
        assert facts[synthetic] == (pathology, 1)
    orders = orders_of(pairs)
    assert all(sorted(number for number, _ in order) == list(range(8)) for order in orders)
    sides = {tuple(left for _, left in sorted(order)) for order in orders}
    assert len(sides) == 3
    assert {left for one in sides for left in one} == {True, False}


def test_nothing_that_a_reader_gets_tells_which_of_two_is_real(pairs: ReaderStudy, tmp_path: Path) -> None:
    client, _ = client_of(Studio(tmp_path))
    assert client.get(f"/read?code={pairs.codes()[0]}").status_code == 200
    seen, answers = [], []
    for position in range(8):
        turn = client.get("/api/read/next").json()
        tag = turn.pop("tag")
        assert turn == {"position": position, "cases": 8, "side": SIZE_PX, "kind": "pairs", "reader": 1}
        case = client.get(f"/api/read/case/{position}", params={"tag": tag})
        values = np.frombuffer(case.content, np.uint8).reshape(2, -1)
        seen.append((case.headers["content-length"], *values.min(axis=1), *values.max(axis=1), sorted(case.headers)))
        given = {"position": position, "tag": tag, "left": position % 2 == 0, "seconds": 2.0}
        answers.append(client.post("/api/read/choice", json=given))
    assert all(one == (str(2 * SIZE_PX**2), 0, 0, 255, 255, seen[0][5]) for one in seen)
    assert all(set(one.json()) == TOLD for one in answers)  # not whether it was right
    rating = {"position": 0, "tag": tag_of(pairs.codes()[0], 0), "synthetic": 4, "malignant": 4, "seconds": 1}
    assert "takes no ratings" in client.post("/api/read/rating", json=rating).json()["error"]


def test_pairs_are_made_and_analysed_by_commands(
    folder: Path, painted: PatchSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.readers.sqlite"
    made = ["make-reader-study", str(folder / "patches"), str(painted.folder), "--out", str(out)]
    assert cli.main([*made, "--kind", "pairs", "--cases", "2", "--readers", "1"]) == 0
    assert "4 pairs" in capsys.readouterr().out
    study = open_study(out)
    assert isinstance(study, PairStudy)
    for position in range(4):
        study.choose(study.codes()[0], position, True, 1.0)
    assert cli.main(["analyse-readers", str(out)]) == 0
    said = capsys.readouterr().out
    assert "share judged correctly" in said
    assert "chose the left in 100 %" in said


def test_a_set_kept_in_8_bits_is_not_told_by_its_levels() -> None:
    fine = (np.arange(4096).reshape(64, 64) * 13).astype(np.uint16)
    kept = np.rint(fine / 257).astype(np.uint16) * np.uint16(257)
    assert (as_shown(fine, coarse=True) == as_shown(kept, coarse=True)).all()
    assert len(np.unique(as_shown(fine, coarse=False))) >= len(np.unique(as_shown(kept, coarse=True)))


def test_a_reader_may_read_and_nothing_else(study: ReaderStudy, tmp_path: Path) -> None:
    client, _ = client_of(Studio(tmp_path))
    client.get(f"/read?code={study.codes()[1]}")
    for path in ("/", "/api/artifacts", "/api/studies", "/api/infillers", "/artifact/x/y.png"):
        assert client.get(path).status_code == 401
    params = {"tag": tag_of(study.codes()[1], 3)}
    assert client.get("/api/read/case/3", params=params).status_code == 400  # not yet
    stranger, _ = client_of(Studio(tmp_path))
    assert stranger.get("/read?code=AAAAAAAAAAAA").status_code == 401
    assert "the address that you were given" in client.get("/read?code=AAAAAAAAAAAA").text  # who reads already, too
    given = {"position": 0, "tag": tag_of(study.codes()[1], 0), "synthetic": 0, "malignant": 101, "seconds": 1}
    assert client.post("/api/read/rating", json=given).status_code == 422


def test_after_the_last_case_there_is_none(study: ReaderStudy, pairs: ReaderStudy, tmp_path: Path) -> None:
    assert isinstance(pairs, PairStudy)
    read_all(study, study.codes()[0], sharp=True)
    for position in range(8):
        pairs.choose(pairs.codes()[0], position, True, 1.0)
    for of, past in ((study, 12), (pairs, 8)):
        client, _ = client_of(Studio(tmp_path))
        client.get(f"/read?code={of.codes()[0]}")
        turn = client.get("/api/read/next").json()
        assert turn["position"] == past
        answer = client.get(f"/api/read/case/{past}", params={"tag": turn["tag"]})
        assert answer.status_code == 400
        assert "now. Load the page again." in answer.json()["error"]


def test_a_page_of_one_reader_takes_no_answers_for_another(
    study: ReaderStudy, pairs: ReaderStudy, tmp_path: Path
) -> None:
    """All tabs of a browser share its cookies, and so the address that was opened last says who reads."""
    for of, path, answer in (
        (study, "rating", {"synthetic": 40, "malignant": 60}),
        (pairs, "choice", {"left": True}),
    ):
        client, _ = client_of(Studio(tmp_path))
        client.get(f"/read?code={of.codes()[1]}")
        turn = client.get("/api/read/next").json()
        client.get(f"/read?code={of.codes()[2]}")
        assert client.get("/api/read/next").json()["reader"] == 3
        given = {"position": turn["position"], "tag": turn["tag"], "seconds": 1.0} | answer
        refused = client.post(f"/api/read/{path}", json=given)
        assert refused.status_code == 409
        assert "the address of another was opened in this browser since" in refused.json()["error"]
        assert client.get("/api/read/case/0", params={"tag": turn["tag"]}).status_code == 409
        assert [one["rated"] for one in of.progress()["readers"]] == [0, 0, 0]
        client.get(f"/read?code={of.codes()[1]}")
        assert client.post(f"/api/read/{path}", json=given).json()["position"] == 1
        assert [one["rated"] for one in of.progress()["readers"]] == [0, 1, 0]


def test_ratings_are_resumed_given_twice_and_never_changed(study: ReaderStudy) -> None:
    code = study.codes()[0]
    study.rate(code, 0, 30, 70, 2.0)
    study.rate(code, 0, 30, 70, 2.0)  # the answer was lost, and the page sent it once more
    assert ReaderStudy(study.path).upcoming(code)["position"] == 1
    with pytest.raises(SettingsError, match="was rated already, or is not to be rated yet"):
        study.rate(code, 0, 31, 70, 2.0)
    with pytest.raises(SettingsError, match="is not to be rated yet"):
        study.rate(code, 5, 31, 70, 2.0)
    assert len(study.ratings()) == 1


def test_readers_who_rate_at_once_lose_nothing(study: ReaderStudy) -> None:
    def read(code: str) -> None:
        for position in range(12):
            study.rate(code, position, 1 + position, 50, 0.1)

    threads = [threading.Thread(target=read, args=(code,)) for code in study.codes()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(study.ratings()) == 36
    assert [one["rated"] for one in study.progress()["readers"]] == [12, 12, 12]


def test_analysis_leaves_out_who_has_not_finished_and_writes_what_others_read(
    study: ReaderStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TooFewError, match="no reader has rated all 12 cases yet"):
        analyse_readers(study)
    first, second, third = study.codes()
    read_all(study, first, sharp=True)
    read_all(study, second, sharp=False)
    study.rate(third, 0, 50, 50, 1.0)
    out = tmp_path / "analysis"
    assert cli.main(["analyse-readers", str(study.path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "12 cases, 2 readers who rated all of them" in said
    assert "left out, since they have not rated all: reader 3" in said
    assert "reader 1: 1.000 (standard error 0.000)" in said
    assert "reader 1: real 1.000, synthetic 1.000" in said
    lines = (out / "synthetic-or-real.imrmc").read_text().splitlines()
    start = lines.index("BEGIN DATA:")
    assert {"NR: 2", "N0: 6", "N1: 6", "NM: 1"} <= set(lines[:start])
    assert [line for line in lines[start + 1 :] if line.startswith("-1,")] == [
        f"-1,{number},0,{synthetic}" for number, _, synthetic in truths(study)
    ]
    assert len(lines) - start - 1 == 12 + 24
    table = (out / "malignant-or-benign-mrmcaov.csv").read_text().splitlines()
    assert table[0] == "reader,treatment,case,truth,rating"
    assert len(table) == 1 + 24
    with pytest.raises(ArtifactError, match="is there already"):
        analyse_readers(study, out)


def test_drawn_curves_have_the_areas_that_are_told(study: ReaderStudy, tmp_path: Path) -> None:
    for number, code in enumerate(study.codes()):
        read_all(study, code, sharp=number == 0)
    found = analyse_readers(study, tmp_path / "analysis")
    curves = pd.read_csv(tmp_path / "analysis" / "roc.csv")
    areas = {key: float(np.trapezoid(one["y"], one["x"])) for key, one in curves.groupby(["question", "reader"])}
    assert len(areas) == 9
    told = {"synthetic or real": found.told_apart} | {
        f"malignant or benign, {origin} lesions": found.classes[origin] for origin in ("real", "synthetic")
    }
    for question, of_readers in told.items():
        for reader, area in zip(found.readers, of_readers, strict=True):
            assert areas[question, reader] == pytest.approx(area)
    drawn = (tmp_path / "analysis" / "roc.svg").read_bytes()
    assert drawn == reader_roc(study)


def test_the_page_shows_the_analysis_once_a_reader_is_done(study: ReaderStudy, pairs: ReaderStudy) -> None:
    client, access = client_of(Studio(study.path.parent))
    client.get(f"/?token={access.token}")
    refused = client.get("/api/studies/s/analysis")
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("s.readers.sqlite: no reader has rated all 12 cases yet (at most 0).")
    assert client.get("/api/studies/s/roc.svg").status_code == 400
    read_all(study, study.codes()[0], sharp=True)
    found = client.get("/api/studies/s/analysis").json()
    assert found == {"words": str(analyse_readers(study)), "roc": True}
    assert client.get("/api/studies/s/roc.svg").headers["content-type"] == "image/svg+xml"
    assert isinstance(pairs, PairStudy)
    for position in range(8):
        pairs.choose(pairs.codes()[0], position, True, 1.0)
    found = client.get("/api/studies/p/analysis").json()
    assert "which of the two is real" in found["words"]
    assert found["roc"] is False
    assert client.get("/api/studies/p/roc.svg").json()["error"] == "A study of pairs has no ROC curves."
    assert client.get("/api/studies/t/analysis").status_code == 404


def test_a_reader_sees_no_analysis(study: ReaderStudy) -> None:
    code = study.codes()[0]
    read_all(study, code, sharp=True)
    client, _ = client_of(Studio(study.path.parent))
    client.get(f"/read?code={code}")
    assert client.get("/api/read/next").status_code == 200
    for page in ("analysis", "roc.svg"):
        assert client.get(f"/api/studies/s/{page}").status_code == 401


def test_one_reader_gets_no_interval_over_readers(study: ReaderStudy) -> None:
    read_all(study, study.codes()[0], sharp=True)
    assert "With one reader, no interval over readers can be given" in str(analyse_readers(study))


def test_a_study_is_made_by_a_command(
    folder: Path, painted: PatchSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.readers.sqlite"
    given = ["make-reader-study", str(folder / "patches"), str(painted.folder), "--out", str(out), "--cases", "2"]
    assert cli.main(given) == 0
    said = capsys.readouterr().out
    assert "8 cases" in said
    assert all(code in said for code in ReaderStudy(out).codes())
    assert cli.main(given) == 4  # it may hold ratings by now
    assert cli.main([*given[:3], "--out", str(tmp_path / "x.db")]) == 2


def test_too_few_patients_are_said(folder: Path, painted: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(TooFewError, match="9 benign cases of each origin are requested, .* only 4"):
        make_reader_study(
            PatchSet.open(folder / "patches"), painted, tmp_path / "x.readers.sqlite", ReaderStudySettings(cases=9)
        )
    assert not list(tmp_path.iterdir())


def test_studies_of_one_name_in_the_folder_and_its_studio_hide_no_other(
    study: ReaderStudy, folder: Path, painted: PatchSet
) -> None:
    place = study.path.parent / "studio" / study.path.name
    other = make_reader_study(PatchSet.open(folder / "patches"), painted, place, ReaderStudySettings(cases=2))
    client, access = client_of(Studio(study.path.parent))
    for code in (study.codes()[0], other.codes()[0]):
        assert client.get(f"/read?code={code}").status_code == 200
        assert client.get("/api/read/next").json()["position"] == 0
    client.get(f"/?token={access.token}")
    assert [(one["name"], one["cases"]) for one in client.get("/api/studies").json()] == [("s", 12), ("studio/s", 8)]
    read_all(other, other.codes()[0], sharp=True)
    assert "8 cases" in client.get("/api/studies/studio%2Fs/analysis").json()["words"]


def test_a_set_without_a_lesion_of_a_class_or_without_fills_is_said(
    folder: Path, painted: PatchSet, tmp_path: Path
) -> None:
    patches = PatchSet.open(folder / "patches")
    fills = [HandFill(f"train-normal-{number}", a_disc(), "malignant", number) for number in range(3)]
    one_class = keep_painted(infiller_of(folder), patches, fills, tmp_path / "one-class")
    for real, synthetic in ((patches, patches), (patches, one_class), (painted, painted)):
        with pytest.raises(TooFewError, match="1 benign case of each origin is requested, .* only 0"):
            make_reader_study(real, synthetic, tmp_path / "x.readers.sqlite", ReaderStudySettings(cases=1))


def test_another_file_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "x.readers.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(DamagedError, match="is no reader study"):
        ReaderStudy(tmp_path / "x.readers.sqlite").progress()


def test_studies_are_made_on_the_page_too(folder: Path, painted: PatchSet, tmp_path: Path) -> None:
    import shutil

    place = tmp_path / "study"
    shutil.copytree(folder, place)
    shutil.copytree(painted.folder, place / "painted")
    client, access = client_of(Studio(place))
    client.get(f"/?token={access.token}")
    ids = {one["place"]: one["id"] for one in client.get("/api/artifacts").json()["artifacts"]}
    asked = {"name": "us", "real": ids["patches"], "synthetic": ids["painted"], "cases": 2, "readers": 2}
    made = client.post("/api/studies", json=asked).json()
    assert made["cases"] == 8
    assert client.get("/api/studies").json() == [made]
    assert made["name"] == "studio/us"
    assert client.get("/api/studies/studio%2Fus/analysis").status_code == 400  # nobody has rated, but it is found
    assert client.get(f"/read?code={made['readers'][1]['code']}", headers={"host": HOST}).status_code == 200
