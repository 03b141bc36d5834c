"""Attacks on the page, each with the answer that it must get."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from toy_studio import HOST, a_disc, client_of, packed

import mammofill
from mammofill.ground.errors import SettingsError, SourceError
from mammofill.web.access import MOST_BYTES, Access
from mammofill.web.app import create_app
from mammofill.web.serve import open_studio
from mammofill.web.studio import Studio


@pytest.fixture
def studio(folder: Path) -> Studio:
    return Studio(folder)


@pytest.fixture
def inside(studio: Studio) -> TestClient:
    client, access = client_of(studio)
    assert client.get(f"/?token={access.token}").status_code == 200
    return client


@pytest.mark.parametrize("path", ["/", "/api/artifacts", "/api/studies", "/read", "/api/read/next", "/artifact/x/y"])
def test_nothing_is_shown_without_the_token(studio: Studio, path: str) -> None:
    client, _ = client_of(studio)
    answer = client.get(path)
    assert answer.status_code == 401
    whose = "reading by the address that you were given" if "read" in path else "studio by the address that it printed"
    assert f"Open the {whose}" in answer.text


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "ä"])
def test_a_wrong_token_opens_nothing(studio: Studio, token: str) -> None:
    client, _ = client_of(studio)
    assert client.get("/", params={"token": token}).status_code == 401
    assert client.get("/", cookies={"mammofill-8765": token.encode("ascii", "ignore").decode()}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1", "localhost:8765", ""])
def test_a_name_that_points_to_loopback_is_refused(inside: TestClient, host: str) -> None:
    answer = inside.get("/api/artifacts", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:9999"])
def test_other_pages_may_send_and_read_nothing(inside: TestClient, origin: str) -> None:
    for answer in (
        inside.post("/api/keep", json={}, headers={"origin": origin}),
        inside.get("/api/artifacts", headers={"origin": origin}),
    ):
        assert answer.status_code == 403
        assert "own page only" in answer.text


def test_what_changes_something_must_name_its_origin(studio: Studio) -> None:
    access = Access(frozenset({HOST}), studio.knows_reader)
    client = TestClient(create_app(studio, access), base_url=f"http://{HOST}")
    client.get(f"/?token={access.token}")
    assert client.post("/api/paint", json={}).status_code == 403
    assert client.delete("/api/paint/x").status_code == 403
    assert client.get("/api/artifacts", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/api/artifacts").status_code == 200


def test_large_and_endless_bodies_are_refused(inside: TestClient) -> None:
    large = inside.post("/api/paint", content=b"x" * (MOST_BYTES + 1))
    assert large.status_code == 413
    endless = inside.post("/api/paint", content=iter([b"{}"]))
    assert endless.status_code == 411
    assert inside.delete("/api/paint/x").status_code == 400  # it sends nothing, and is let in


@pytest.mark.parametrize(
    "path",
    [
        "/artifact/{id}/../artifact.json",
        "/artifact/{id}/%2e%2e/%2e%2e/etc/passwd",
        "/artifact/{id}//etc/passwd",
        "/artifact/{id}/network.json",
        "/artifact/{id}/bank/lesions.parquet",
        "/artifact/..%2f..%2f/network.json",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fcli.py",
        "/api/patches/..%2f..%2fetc/rows",
    ],
)
def test_no_path_leads_out(inside: TestClient, path: str) -> None:
    found = {one["place"]: one["id"] for one in inside.get("/api/artifacts").json()["artifacts"]}
    answer = inside.get(path.format(id=found["infillers/pasted"]))
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/x", "", ".", "a" * 41, "A", "x\x00", "-x"])
def test_what_is_kept_has_a_plain_name(inside: TestClient, name: str, folder: Path) -> None:
    ids = {one["place"]: one["id"] for one in inside.get("/api/artifacts").json()["artifacts"]}
    fill = {"row": 0, "mask": packed(a_disc()), "pathology": "benign", "seed": 1}
    asked = {"name": name, "patches": ids["patches"], "infiller": ids["infillers/pasted"], "fills": [fill]}
    assert inside.post("/api/keep", json=asked).status_code in (400, 422)
    assert inside.post(
        "/api/studies",
        json={"name": name, "real": ids["patches"], "synthetic": ids["patches"], "cases": 1, "readers": 1},
    ).status_code in (400, 422)
    assert not (folder / "studio").exists()


@pytest.mark.parametrize("mask", ["", "AAAA", "A" * 172, "not base64 at all!", "A" * 900_000])
def test_masks_have_the_size_of_the_patch(inside: TestClient, mask: str) -> None:
    ids = {one["place"]: one["id"] for one in inside.get("/api/artifacts").json()["artifacts"]}
    fills = [{"pathology": "benign", "seed": 1}]
    asked = {"patches": ids["patches"], "row": 0, "infillers": [ids["infillers/pasted"]], "fills": fills}
    assert inside.post("/api/paint", json=asked | {"mask": mask}).status_code in (400, 422)


@pytest.mark.parametrize(
    ("name", "value"),
    [("guidance", "NaN"), ("guidance", "Infinity"), ("patches", r'"\ud800"'), ("facts", r'{"\ud800": 1}')],
)
def test_what_json_can_hold_and_not_give_back_is_refused(inside: TestClient, name: str, value: str) -> None:
    fills = '[{"pathology": "benign", "seed": 1}]'
    body = f'{{"row": 0, "mask": "", "infillers": ["x"], "fills": {fills}, "{name}": {value}}}'
    answer = inside.post("/api/paint", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert ": Input should be" in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/patches/{id}/raw/99999999",
        "/api/patches/{id}/raw/-1",
        "/api/patches/{id}/sheet?rows=1,2,x",
        "/api/patches/{id}/sheet?rows=" + ",".join(["1"] * 121),
        "/api/patches/{id}/rows?count=100000",
        "/api/patches/{id}/rows?offset=-5",
        "/api/patches/{id}/rows?split=" + "x" * 101,
        "/api/mammograms/{id}/0/tile/99/0/0",
    ],
)
def test_numbers_out_of_range_are_refused_in_words(inside: TestClient, path: str) -> None:
    ids = {one["place"]: one["id"] for one in inside.get("/api/artifacts").json()["artifacts"]}
    assert inside.get(path.format(id=ids["patches"])).status_code in (400, 404, 422)


def test_every_answer_forbids_foreign_scripts_and_frames(inside: TestClient) -> None:
    for path in ("/", "/api/artifacts", "/static/studio.js", "/nowhere"):
        headers = inside.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_pages_have_no_inline_script_and_no_address_elsewhere() -> None:
    static = Path(mammofill.__file__).parent / "web" / "static"
    for page in static.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>" not in text
        assert "http:" not in text
        assert "https:" not in text
        assert " on" + "click" not in text
    for script in static.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert "innerHTML" not in text
        assert "eval(" not in text
        assert "https:" not in text


def test_the_cookie_stays_with_the_page(studio: Studio) -> None:
    client, access = client_of(studio)
    answer = client.get(f"/?token={access.token}", follow_redirects=False)
    assert answer.status_code == 200  # no redirect: that would be made in the name of the page before
    assert 'content="0; url=/"' in answer.text
    assert access.token not in answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert cookie.startswith("mammofill-8765=")


def test_errors_do_not_tell_where_the_folder_is(inside: TestClient, folder: Path) -> None:
    ids = {one["place"]: one["id"] for one in inside.get("/api/artifacts").json()["artifacts"]}
    answer = inside.get(f"/api/patches/{ids['pairs']}/rows")
    assert answer.status_code == 400
    assert "pairs holds a 'pairs' artifact" in answer.json()["error"]
    assert str(folder) not in answer.text


def test_a_finished_artifact_is_not_written_into(folder: Path) -> None:
    client, access = client_of(Studio(folder / "patches"))
    client.get(f"/?token={access.token}")
    (one,) = client.get("/api/artifacts").json()["artifacts"]
    asked = {"name": "x", "real": one["id"], "synthetic": one["id"], "cases": 1, "readers": 1}
    answer = client.post("/api/studies", json=asked)
    assert "A finished artifact is never changed" in answer.json()["error"]


def test_a_damaged_study_lets_nobody_in_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "us.readers.sqlite").write_bytes(b"nothing of the kind" * 50)
    client, access = client_of(Studio(tmp_path))
    assert client.get("/read?code=ABCDEFGH").status_code == 401
    client.get(f"/?token={access.token}")
    assert "is no reader study" in client.get("/api/studies").json()[0]["error"]


def test_the_studio_opens_only_where_it_can_be_called(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no name that a browser could ask for"):
        open_studio(tmp_path, host="0.0.0.0", browser=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match="Give another --port"):
            open_studio(tmp_path, port=taken.getsockname()[1], browser=False)
    with pytest.raises(SourceError, match="is no folder"):
        open_studio(tmp_path / "nowhere", browser=False)
