"""The page in a real browser: Chromium without a window, driven by selenium."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toy_studio import CLASSES, SIZE_PX, a_disc, infiller_of, make_comparison, make_judgement

from mammofill.evaluation import Evaluation
from mammofill.ground.errors import MammofillError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, Place, cut_patch
from mammofill.phantom import PhantomSettings, write_phantoms
from mammofill.readers import PairStudy, ReaderStudy, ReaderStudySettings, make_reader_study
from mammofill.report import write_report
from mammofill.synthesis import HandFill, keep_painted, paint_by_hand

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra dev)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
    # Sockets of selenium's that nobody closed say so when they are collected, long after.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE = 240
"""Seconds; only a page that does nothing waits so long, so that no test depends on the machine's speed."""


class Server:
    """The studio in a process of its own, which can be killed and opened again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.open()

    def open(self) -> None:
        command = [sys.executable, "-m", "mammofill", "studio", str(self.folder), "--no-browser"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=\S+", said)
        assert found, said + self.process.stdout.read()
        self.address, self.port = found[0], int(found[1])

    def page(self, rest: str) -> str:
        return f"http://127.0.0.1:{self.port}/{rest}"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def browser() -> Iterator[Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1400,1000"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    opened.set_page_load_timeout(PATIENCE)
    opened.set_script_timeout(PATIENCE)
    yield opened
    opened.quit()


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    place = tmp_path / "study"
    shutil.copytree(folder, place)
    opened = Server(place)
    yield opened
    if opened.process.poll() is None:
        opened.kill()


def wait_for(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < end, "the page did not come to it"
        time.sleep(0.1)
    return value


def all_of(browser: Chrome, selector: str) -> list[Any]:
    return browser.find_elements("css selector", selector)


def text_of(browser: Chrome, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector))


def complaints(browser: Chrome) -> list[Any]:
    """What the browser complained of, but for requests that a stopped server did not answer."""
    return [one for one in browser.get_log("browser") if one["level"] == "SEVERE" and "ERR_CONN" not in one["message"]]


def test_a_lesion_is_drawn_painted_and_kept(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    wait_for(lambda: len(all_of(browser, ".artifact")) == 3)
    browser.get(server.page("#paint"))
    stage = wait_for(lambda: all_of(browser, ".stage canvas:last-child"))[0]
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    draw(browser, stage, [(0.5, 0.5), (0.6, 0.5), (0.6, 0.6), (0.5, 0.6), (0.4, 0.5), (0.5, 0.4), (0.6, 0.4)])
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: len(all_of(browser, ".fill input:not(:disabled)")) == 6)
    browser.execute_script("for (const number of [0, 5]) document.querySelectorAll('.fill input')[number].click()")
    wait_for(lambda: text_of(browser, "#keep") == "Keep 2")
    browser.execute_script("document.getElementById('keep').click()")
    wait_for(lambda: "kept: studio/painted" in text_of(browser, "#kept"))
    assert complaints(browser) == []

    kept = PatchSet.open(server.folder / "studio" / "painted")
    assert list(kept.table["pathology"]) == ["benign", "malignant"]
    assert list(kept.table["seed"]) == [0, 2]
    _, masks = kept.pixels([0, 1])
    assert (masks[0] == masks[1]).all()
    assert masks[0][SIZE_PX // 2, SIZE_PX // 2]
    patches = PatchSet.open(server.folder / "patches")
    fill = HandFill(str(kept.table["context_patch_id"].iloc[0]), masks[0], "benign", 0)
    assert (kept.pixels([0])[0][0] == paint_by_hand(infiller_of(server.folder), patches, fill)).all()


def test_an_address_that_is_clicked_on_another_page_opens_and_is_loaded_again(
    browser: Chrome, server: Server, tmp_path: Path
) -> None:
    """As on a mail's page. A page of another host is foreign to browsers, one of another port of the host is near."""
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "mail.html").write_text(f'<a href="{server.address}">here</a>', encoding="utf-8")
    handler = partial(QuietHandler, directory=pages)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        for host in ("localhost", "127.0.0.1"):
            browser.delete_all_cookies()
            browser.get(f"http://{host}:{elsewhere.server_port}/mail.html")
            all_of(browser, "a")[0].click()
            wait_for(lambda: len(all_of(browser, ".artifact")) == 3)
            assert browser.current_url == server.page("")
            browser.refresh()
            wait_for(lambda: len(all_of(browser, ".artifact")) == 3)
        elsewhere.shutdown()
    assert [one for one in complaints(browser) if server.page("") in one["message"]] == []


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_window_of_a_mammogram_is_chosen_painted_and_kept(browser: Chrome, server: Server, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "films", PhantomSettings(patients=5, height_px=300, width_px=200), seed=3)
    ingest(tmp_path / "films", server.folder / "mammograms", IngestSettings(height_px=300, split="auto"))
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    choose_mammograms(browser)
    wait_for(lambda: "Click into the mammogram" in text_of(browser, ".verdict"))
    assert "patient 1" in text_of(browser, "select[aria-label=mammogram]")
    mammograms = MammogramSet.open(server.folder / "mammograms")
    film = all_of(browser, ".film")[0]
    wait_for(lambda: all_of(browser, ".film canvas"))
    click(browser, film, 0.02, 0.02)  # beside the mammogram: the nearest window is of film
    wait_for(lambda: "breast covers too little of this window" in text_of(browser, ".verdict"))
    assert browser.execute_script("return document.getElementById('go').disabled")
    normal, middle = a_normal_place(mammograms)
    browser.execute_script(
        "const which = document.querySelector('select[aria-label=mammogram]'); which.value = arguments[0];"
        "which.dispatchEvent(new Event('change'))",
        normal,
    )
    wait_for(lambda: "Click into the mammogram" in text_of(browser, ".verdict"))
    click(browser, film, *shown_at(mammograms.facts(name_of(mammograms, normal)), middle, film.size))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    draw(browser, all_of(browser, ".stage canvas:last-child")[0], [(0.4, 0.5), (0.6, 0.5), (0.6, 0.6), (0.4, 0.6)])
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: len(all_of(browser, ".fill input:not(:disabled)")) == 6)
    browser.execute_script("document.querySelectorAll('.fill input')[3].click()")
    browser.execute_script("document.getElementById('keep').click()")
    wait_for(lambda: "kept: studio/painted" in text_of(browser, "#kept"))
    assert complaints(browser) == []
    kept = PatchSet.open(server.folder / "studio" / "painted")
    assert list(kept.table["mammogram_id"]) == [name_of(mammograms, normal)]
    assert list(kept.table["pathology"]) == ["malignant"]


def choose_mammograms(browser: Chrome) -> None:
    browser.execute_script(
        "const into = document.querySelector('.paint select');"
        "into.value = [...into.options].find((one) => one.textContent === 'mammograms: mammograms').value;"
        "into.dispatchEvent(new Event('change'))"
    )


def a_normal_place(mammograms: MammogramSet) -> tuple[int, tuple[int, int]]:
    """Number of a mammogram, and row and column around which windows are normal and all breast, also 4 px off."""
    settings = ExtractPatchesSettings(size_px=SIZE_PX)
    train = [number for number, split in enumerate(mammograms.mammograms["split"]) if split == "train"]
    for number in train:
        name, facts = name_of(mammograms, number), mammograms.facts(name_of(mammograms, number))
        for top in range(4, facts["rows"] - SIZE_PX - 4, 8):
            for left in range(4, facts["columns"] - SIZE_PX - 4, 8):
                around = [Place(name, top + down, left + right) for down in (-4, 4) for right in (-4, 4)]
                with suppress(MammofillError):
                    cut = [cut_patch(mammograms, place, settings).facts for place in around]
                    if all(one["pathology"] == "normal" and one["breast_share"] == 1 for one in cut):
                        return number, (top + SIZE_PX // 2, left + SIZE_PX // 2)
    raise AssertionError("no mammogram has normal tissue")


def shown_at(facts: dict[str, Any], middle: tuple[int, int], size: dict[str, int]) -> tuple[float, float]:
    """Where the viewer shows a pixel, as shares of it: the mammogram is fitted in, and centred."""
    scale = min(size["width"] / facts["columns"], size["height"] / facts["rows"])
    row, column = middle
    across = 0.5 + (column - facts["columns"] / 2) * scale / size["width"]
    return across, 0.5 + (row - facts["rows"] / 2) * scale / size["height"]


def name_of(mammograms: MammogramSet, number: int) -> str:
    return str(mammograms.mammograms["mammogram_id"].iloc[number])


def click(browser: Chrome, place: Any, across: float, down: float) -> None:
    from selenium.webdriver import ActionChains

    size = place.size
    chain = ActionChains(browser)
    chain.move_to_element_with_offset(place, int((across - 0.5) * size["width"]), int((down - 0.5) * size["height"]))
    chain.click().perform()


def test_a_painting_is_cancelled(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('benign-outline').click()")
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    browser.execute_script(
        "document.getElementById('go').click();"
        "new MutationObserver((_, watch) => { document.getElementById('stop').click(); watch.disconnect(); })"
        ".observe(document.querySelector('.fills'), { childList: true })"
    )
    wait_for(lambda: all_of(browser, ".fill"))
    wait_for(lambda: browser.execute_script("return document.getElementById('stop').hidden"))
    assert browser.execute_script("return document.getElementById('message').hidden")
    assert complaints(browser) == []


def test_what_is_painted_by_the_keyboard_leaves_the_focus_at_hand_and_is_announced(
    browser: Chrome, server: Server
) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('benign-outline').click()")
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    focus(browser, "#go")
    press(browser, "ENTER")
    assert focused(browser) in ("stop", "go"), "a button that cannot be pressed any more has no focus"
    wait_for(lambda: text_of(browser, "#progress") == "6 of 6 fills are painted")
    wait_for(lambda: focused(browser) == "go")
    assert browser.execute_script("return document.getElementById('progress').getAttribute('role')") == "status"
    name = "document.querySelector('[aria-label=\"name of the set\"]')"
    refused = f"const it = {name}; it.value = arguments[0]; return it.validity.patternMismatch"
    assert browser.execute_script(refused, "My set!")
    assert not browser.execute_script(refused, "my-set")
    browser.execute_script("document.querySelector('.fill input').click()")
    focus(browser, "#keep")
    press(browser, "ENTER")
    wait_for(lambda: "kept: studio/my-set" in text_of(browser, "#kept"))
    wait_for(lambda: focused(browser) == "keep")
    assert complaints(browser) == []


def test_a_flicker_stops_as_soon_as_less_motion_is_wished_for(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('benign-outline').click()")
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: len(all_of(browser, ".fill input:not(:disabled)")) == 6)
    shown = "return document.querySelectorAll('.fill canvas')[5].toDataURL()"
    fill = browser.execute_script(shown)
    browser.execute_script(
        "const show = [...document.querySelectorAll('select')].find((one) => one.querySelector('[value=flicker]'));"
        "show.value = 'flicker'; show.dispatchEvent(new Event('change'))"
    )
    both = {browser.execute_script(shown)}
    wait_for(lambda: both.add(browser.execute_script(shown)) or len(both) == 2)
    motion = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", motion)
    wait_for(lambda: browser.execute_script(shown) == fill)  # which no later turn changes, however slow the page is
    assert {browser.execute_script(shown) for _ in range(8) if not time.sleep(0.2)} == {fill}


def test_the_mammograms_are_one_stop_of_tab_and_their_viewer_has_a_name(
    browser: Chrome, server: Server, tmp_path: Path
) -> None:
    write_phantoms(tmp_path / "films", PhantomSettings(patients=5, height_px=300, width_px=200), seed=3)
    ingest(tmp_path / "films", server.folder / "mammograms", IngestSettings(height_px=300, split="auto"))
    browser.get(server.address)
    wait_for(lambda: len(all_of(browser, ".artifact")) == 4)
    links = "return [...document.querySelectorAll('.artifact b a')].find((a) => a.text === 'mammograms').href"
    browser.get(browser.execute_script(links))
    wait_for(lambda: len(all_of(browser, "ol button")) == 10)
    focus(browser, "ol button")
    press(browser, "ARROW_DOWN", "ENTER")
    current = "return [...document.querySelectorAll('ol button')].findIndex((one) => one.ariaCurrent === 'true')"
    wait_for(lambda: browser.execute_script(current) == 1)
    press(browser, "TAB")
    said = browser.execute_script("return document.activeElement.getAttribute('aria-label')")
    assert said == "the mammogram; + and − zoom, the arrow keys move it"
    assert complaints(browser) == []


def test_the_patch_that_is_shown_beside_the_gallery_fits_there(browser: Chrome, server: Server) -> None:
    browser.set_window_size(1300, 900)
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = "return [...document.querySelectorAll('.artifact b a')].find((a) => a.text === 'patches').href"
    browser.get(browser.execute_script(links))
    wait_for(lambda: all_of(browser, ".patch"))
    focus(browser, ".patch")
    press(browser, "ENTER")
    wait_for(lambda: all_of(browser, ".detail output"))
    card, *inside = all_of(browser, ".detail, .detail canvas, .detail output")
    assert max(one.rect["x"] + one.rect["width"] for one in inside) <= card.rect["x"] + card.rect["width"]


def test_a_judgement_is_a_table_whose_rows_say_what_they_measure(browser: Chrome, server: Server) -> None:
    make_judgement(server.folder / "judgement", "flow")
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = "return [...document.querySelectorAll('.artifact b a')].find((a) => a.text === 'judgement').href"
    browser.get(browser.execute_script(links))
    wait_for(lambda: all_of(browser, ".judgement tbody"))
    assert "1 reached, 1 not reached, 1 cannot be judged" in text_of(browser, ".judgement p")
    assert text_of(browser, ".judgement tbody th[scope=row]").startswith("malignant above benign")
    assert text_of(browser, ".judgement b.not-reached") == "not reached"
    assert "One case per column" in text_of(browser, "figcaption")
    assert complaints(browser) == []


def focus(browser: Chrome, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).focus()", selector)


def focused(browser: Chrome) -> str:
    return str(browser.execute_script("return document.activeElement.id"))


HOLD = """
    const asked = window.fetch, held = [];
    window.sent = [];
    window.fetch = (...given) => {
        const name = `${given[1]?.method ?? "GET"} ${given[0]}`;
        window.sent.push(name);
        if (!new RegExp(arguments[0]).test(name)) return asked(...given);
        return new Promise((answer) => held.push(() => answer(asked(...given))));
    };
    window.letGo = () => { window.fetch = asked; for (const go of held) go(); };"""
"""Requests that match wait, as if the studio were slow, until they are let go; `sent` is all that was asked."""


def painting_page(browser: Chrome, server: Server) -> None:
    """Open the Paint page with an outline on the first patch."""
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('benign-outline').click()")
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))


def chosen(browser: Chrome, number: int) -> None:
    browser.execute_script("document.querySelectorAll('.strip button')[arguments[0]].click()", number)


def test_the_patch_that_was_chosen_last_is_the_one_that_is_shown(browser: Chrome, server: Server) -> None:
    shown = "return document.querySelector('.stage canvas').toDataURL()"
    painting_page(browser, server)
    first = browser.execute_script(shown)
    chosen(browser, 2)
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    last = browser.execute_script(shown)
    chosen(browser, 0)
    wait_for(lambda: browser.execute_script(shown) == first)
    row = browser.execute_script("return document.querySelectorAll('.strip button')[1].dataset.row")
    browser.execute_script(HOLD, f"raw/{row}$")
    chosen(browser, 1)
    wait_for(lambda: browser.execute_script("return window.sent.some((one) => one.includes('/raw/'))"))
    chosen(browser, 2)
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_async_script("window.letGo(); setTimeout(arguments[0], 1000)")
    assert browser.execute_script(shown) == last


def test_nothing_else_is_painted_meanwhile(browser: Chrome, server: Server) -> None:
    painting_page(browser, server)
    browser.execute_script(HOLD, "GET /api/paint/")
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: all_of(browser, ".fill"))
    verdict = text_of(browser, ".verdict")
    browser.execute_script("document.getElementById('malignant-outline').click()")
    wait_for(lambda: text_of(browser, ".verdict") != verdict)
    assert browser.execute_script("return document.getElementById('go').disabled")
    assert not browser.execute_script("return document.getElementById('stop').hidden")
    browser.execute_script("window.letGo()")
    wait_for(lambda: len(all_of(browser, ".fill input:not(:disabled)")) == 6)
    wait_for(lambda: not browser.execute_script("return document.getElementById('go').disabled"))
    assert "not painted" not in text_of(browser, ".fills")
    assert complaints(browser) == []


def test_a_painting_is_cancelled_before_the_studio_has_answered(browser: Chrome, server: Server) -> None:
    painting_page(browser, server)
    browser.execute_script(HOLD, "POST /api/paint$")
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: browser.execute_script("return window.sent.includes('POST /api/paint')"))
    browser.execute_script("document.getElementById('stop').click()")
    browser.execute_script(
        "window.letGo(); const asked = window.fetch;"
        "window.fetch = (...given) => { window.sent.push(given[1]?.method); return asked(...given); }"
    )
    wait_for(lambda: browser.execute_script("return document.getElementById('stop').hidden"))
    assert browser.execute_script("return window.sent.includes('DELETE')")
    assert all_of(browser, ".fill") == []
    assert not browser.execute_script("return document.getElementById('go').disabled")
    assert complaints(browser) == []


def test_fills_that_are_gone_are_not_kept(browser: Chrome, server: Server) -> None:
    painting_page(browser, server)
    browser.execute_script("document.getElementById('go').click()")
    wait_for(lambda: len(all_of(browser, ".fill input:not(:disabled)")) == 6)
    browser.execute_script("document.querySelector('.fill input').click()")
    assert text_of(browser, "#keep") == "Keep 1"
    chosen(browser, 1)
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    assert text_of(browser, "#keep") == "Keep"
    assert browser.execute_script("return document.getElementById('keep').disabled")


def test_a_mask_off_the_tissue_is_refused_with_the_reason(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint"))
    stage = wait_for(lambda: all_of(browser, ".stage canvas:last-child"))[0]
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    draw(browser, stage, [(0.16, 0.4), (0.2, 0.6), (0.24, 0.5), (0.2, 0.4)])
    wait_for(lambda: "leaves the breast tissue" in text_of(browser, ".verdict"))
    assert browser.execute_script("return document.getElementById('go').disabled")


def test_on_a_phone_the_reason_of_a_refusal_is_shown_above_the_drawing_and_announced(
    browser: Chrome, server: Server
) -> None:
    phone(browser)
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    stage = all_of(browser, ".stage canvas:last-child")[0]
    draw(browser, stage, [(0.16, 0.4), (0.2, 0.6), (0.24, 0.5), (0.2, 0.4)])
    wait_for(lambda: "leaves the breast tissue" in text_of(browser, ".verdict"))
    verdict = all_of(browser, ".verdict")[0]
    assert in_sight(browser, verdict)
    assert in_sight(browser, stage)
    assert verdict.rect["y"] + verdict.rect["height"] <= stage.rect["y"] + 1, "but for rounding"
    assert verdict.get_attribute("role") == "status"
    assert stage.get_attribute("aria-describedby") == verdict.get_attribute("id")
    browser.execute_script("document.getElementById('malignant-outline').scrollIntoView({ block: 'center' })")
    assert in_sight(browser, verdict), "also while an outline is chosen, below the drawing"


def test_on_a_phone_the_reason_why_a_window_is_refused_is_shown_beside_the_mammogram(
    browser: Chrome, server: Server, tmp_path: Path
) -> None:
    write_phantoms(tmp_path / "films", PhantomSettings(patients=5, height_px=300, width_px=200), seed=3)
    ingest(tmp_path / "films", server.folder / "mammograms", IngestSettings(height_px=300, split="auto"))
    phone(browser)
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    choose_mammograms(browser)
    wait_for(lambda: "Click into the mammogram" in text_of(browser, ".verdict"))
    film = wait_for(lambda: all_of(browser, ".film canvas") and all_of(browser, ".film"))[0]
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", film)
    click(browser, film, 0.02, 0.02)
    wait_for(lambda: "breast covers too little of this window" in text_of(browser, ".verdict"))
    assert in_sight(browser, film)
    assert in_sight(browser, all_of(browser, ".verdict")[0])
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def phone(browser: Chrome) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )


def in_sight(browser: Chrome, element: Any) -> bool:
    """Whether an element lies in the window as a whole, and nothing lies over its middle."""
    return bool(
        browser.execute_script(
            "const [one] = arguments, box = one.getBoundingClientRect();"
            "const over = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);"
            "return box.top >= 0 && box.bottom <= innerHeight && one.contains(over)",
            element,
        )
    )


def draw(browser: Chrome, stage: Any, places: list[tuple[float, float]]) -> None:
    """Draw a line through places given as shares of the stage."""
    from selenium.webdriver import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({ block: 'nearest' })", stage)
    size = stage.size
    chain = ActionChains(browser)
    for number, (across, down) in enumerate(places):
        chain.move_to_element_with_offset(stage, (across - 0.5) * size["width"], (down - 0.5) * size["height"])
        if not number:
            chain.click_and_hold()
    chain.release().perform()


def test_the_gallery_shows_and_filters(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = browser.execute_script(
        "return [...document.querySelectorAll('.artifact b a')].map((a) => [a.textContent, a.href])"
    )
    browser.get(dict(links)["patches"])
    wait_for(lambda: "72 patches" in text_of(browser, ".bar"))
    wait_for(lambda: len(all_of(browser, ".sheet button")) == 72)
    too_wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width in (1300, 1200, 950, 1400):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        wait_for(lambda: browser.execute_script(too_wide) == 0)
    wait_for(lambda: len(all_of(browser, ".sheet button")) == 72)
    browser.execute_script(
        "const select = document.querySelectorAll('.bar select')[1]; select.value = 'malignant';"
        "select.dispatchEvent(new Event('change'))"
    )
    wait_for(lambda: "24 patches" in text_of(browser, ".bar"))
    wait_for(lambda: len(all_of(browser, ".sheet button")) == 24)
    browser.execute_script("document.querySelector('.sheet button').focus()")
    press(browser, "ARROW_RIGHT", "ENTER")
    wait_for(lambda: "malignant" in text_of(browser, ".detail dl"))
    pressed = browser.execute_script(
        "return [...document.querySelectorAll('.sheet button')].findIndex((one) => one.ariaPressed === 'true')"
    )
    assert pressed == 1
    assert "malignant patch of patient" in all_of(browser, ".detail canvas")[0].get_attribute("aria-label")
    assert complaints(browser) == []


def test_the_gallery_keeps_mark_and_focus_in_view_when_the_window_is_resized(browser: Chrome, server: Server) -> None:
    resize(browser, 1400, 1000)
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = "return [...document.querySelectorAll('.artifact b a')].find((a) => a.text === 'patches').href"
    browser.get(browser.execute_script(links))
    wait_for(lambda: len(all_of(browser, ".patch")) == 72)
    marked = "return [...document.querySelectorAll('.patch')].findIndex((one) => one.ariaPressed === 'true')"
    focused_one = "return [...document.querySelectorAll('.patch')].indexOf(document.activeElement)"
    abreast = "const tops = [...document.querySelector('.sheet').children].map((one) => one.offsetTop);"
    abreast += "return tops.filter((top) => top === tops[0]).length"
    browser.execute_script("const one = document.querySelectorAll('.patch')[65]; one.focus(); one.click()")
    wait_for(lambda: all_of(browser, ".detail output"))
    for width, height, columns in ((950, 700, 6), (520, 900, 4), (390, 844, 3), (1400, 1000, 10)):
        resize(browser, width, height)
        wait_for(lambda columns=columns: browser.execute_script(abreast) == columns)
        assert browser.execute_script(marked) == 65
        assert browser.execute_script(focused_one) == 65
        patch, frame = all_of(browser, ".patch[aria-pressed]")[0].rect, all_of(browser, ".gallery")[0].rect
        assert frame["y"] <= patch["y"] <= frame["y"] + frame["height"] - patch["height"]
    browser.execute_script(
        "const select = document.querySelectorAll('.bar select')[1]; select.value = 'malignant';"
        "select.dispatchEvent(new Event('change'))"
    )
    wait_for(lambda: len(all_of(browser, ".patch")) == 24)
    assert len(all_of(browser, ".patch[aria-pressed]")) == 1, "the patch that is shown beside is among them"
    assert complaints(browser) == []


def resize(browser: Chrome, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_a_comparison_has_its_verdict_and_tables_that_scroll_on_a_phone(browser: Chrome, server: Server) -> None:
    make_comparison(server.folder)
    phone(browser)
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = browser.execute_script(
        "return [...document.querySelectorAll('.artifact b a')].map((a) => [a.textContent, a.href])"
    )
    browser.get(dict(links)["comparison"])
    wait_for(lambda: all_of(browser, ".comparison table"))
    assert "Shown better: difference in AUC by lesion (95 % CI) +" in text_of(browser, ".comparison .card")
    captions = browser.execute_script("return [...document.querySelectorAll('caption')].map((one) => one.textContent)")
    assert captions == ["Tested comparisons", "Described, not tested", "By other measures, described", "Arms"]
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    boxes = (
        "return [...document.querySelectorAll('.wide')].map((one) => [one.scrollWidth > one.clientWidth, one.tabIndex])"
    )
    assert [True, 0] in browser.execute_script(boxes)
    evaluation = all_of(browser, ".numbered a")[0]
    assert evaluation.get_attribute("aria-label") == "plain-0"
    evaluation.click()
    wait_for(lambda: "plain-0" in text_of(browser, "h2"))
    assert complaints(browser) == []


def test_numbers_of_the_report_and_of_a_comparison_are_aligned_at_the_right(browser: Chrome, server: Server) -> None:
    found = make_comparison(server.folder)
    evaluations = [Evaluation.open(server.folder / f"{arm}-0") for arm in ("plain", "with fills", "with pasted")]
    report = write_report(evaluations, server.folder / "report", comparisons=[found])
    browser.get(report.page.as_uri())
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert alignment(browser, "What each arm is") == ["left", "left", *["right"] * 6]
    of_comparisons = alignment(browser, "Comparisons by every measure")
    assert of_comparisons[:4] == ["left", "left", "left", "right"]
    assert alignment(browser, "Calibration, means over seeds") == ["left", "left", *["right"] * 5]
    assert alignment(browser, "From the collection") == ["left", *["right"] * 4, "left"]
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = "return [...document.querySelectorAll('.artifact b a')].find((a) => a.text === 'comparison').href"
    browser.get(browser.execute_script(links))
    wait_for(lambda: all_of(browser, ".comparison table"))
    assert alignment(browser, "Arms") == ["left", "right", "right", "right", "left"]
    assert alignment(browser, "Tested comparisons")[:4] == ["left", "left", "right", "right"]


def alignment(browser: Chrome, name: str) -> list[str]:
    """How each column of a table is aligned, its heading and all its cells alike, with figures of one width."""
    found = browser.execute_script(
        "const box = [...document.querySelectorAll('.wide')].find((one) => one.ariaLabel.startsWith(arguments[0]));"
        "return [...box.querySelectorAll('tr')].map((row) => [...row.cells].map((cell) => {"
        "  const { textAlign, fontVariantNumeric } = getComputedStyle(cell);"
        "  return textAlign === 'right' && fontVariantNumeric !== 'tabular-nums' ? 'uneven' : textAlign; }))",
        name,
    )
    assert all(row == found[0] for row in found)
    return [str(one) for one in found[0]]


def test_names_stay_text_what_is_damaged_is_said_and_a_phone_needs_no_scrolling(
    browser: Chrome, server: Server
) -> None:
    name = "<img src=x onerror=alert(1)>"
    shutil.copytree(server.folder / "pairs", server.folder / name)
    shutil.copytree(server.folder / "patches", server.folder / "torn")
    (server.folder / "torn" / "table.parquet").unlink()
    (server.folder / "<b>torn.readers.sqlite").write_text("no database")
    browser.get(server.address)
    wait_for(lambda: len(all_of(browser, ".artifact")) == 5)
    assert name in text_of(browser, "#view")
    assert "torn/table.parquet is missing" in text_of(browser, "#view")
    phone(browser)
    wide = "return document.documentElement.scrollWidth"
    assert browser.execute_script(wide) == 390
    browser.get(server.page("#readers"))
    wait_for(lambda: "<b>torn.readers.sqlite is no reader study" in text_of(browser, ".bad"))
    assert browser.execute_script(wide) == 390
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    assert browser.execute_script(wide) == 390
    assert all_of(browser, "#view img") == []
    assert complaints(browser) == []


def test_an_outline_is_laid_and_moved_by_the_keyboard_and_outlives_the_server(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint"))
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    browser.execute_script("document.getElementById('benign-outline').focus()")
    press(browser, "ENTER")
    wait_for(lambda: "will be repainted" in text_of(browser, ".verdict"))
    moved = [line + 1 for line in lesion_on(browser)]
    browser.execute_script("document.querySelector('.stage canvas:last-child').focus()")
    press(browser, "ARROW_DOWN")
    wait_for(lambda: lesion_on(browser) == moved)
    server.kill()
    browser.execute_script("document.getElementById('malignant-outline').click()")
    wait_for(lambda: "The studio does not answer. Nothing that was kept is lost." in text_of(browser, "#message"))
    assert lesion_on(browser) == moved


def lesion_on(browser: Chrome) -> list[int]:
    """The first and the last line of the mask that is drawn, which is yellow."""
    found = browser.execute_script(
        "const canvas = document.querySelector('.stage canvas:last-child'), side = canvas.width;"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, side, side);"
        "const yellow = Array.from({ length: side ** 2 }, (_, at) => data[4 * at + 1] > data[4 * at + 2] + 50);"
        "return [yellow.indexOf(true), yellow.lastIndexOf(true)]"
    )
    return [int(place) // SIZE_PX for place in found]


def asked_of_readers(server: Server, tmp_path: Path, settings: ReaderStudySettings, fills: int = 2) -> ReaderStudy:
    """Paint some fills, benign and malignant in turn, and make a reader study of them in the folder that is served."""
    patches = PatchSet.open(server.folder / "patches")
    drawn = [HandFill(f"train-normal-{number}", a_disc(), CLASSES[1 + number % 2], number) for number in range(fills)]
    painted = keep_painted(infiller_of(server.folder), patches, drawn, tmp_path / "painted")
    return make_reader_study(patches, painted, server.folder / "us.readers.sqlite", settings)


def test_a_reader_reads_through_a_reload_and_a_killed_server(browser: Chrome, server: Server, tmp_path: Path) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(cases=2, readers=1), fills=6)
    (code,) = study.codes()
    browser.get(server.page(f"read?code={code}"))
    given = []
    for position in range(8):
        wait_for(lambda position=position: text_of(browser, "#progress") == f"{position} of 8 cases are rated")
        wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
        if position == 2:
            type_in(browser, "0\n")
            wait_for(lambda: text_of(browser, "#message") == "Type a number from 1 to 100.")
            press(browser, "BACK_SPACE")
            assert text_of(browser, "#message") == ""
        if position == 3:
            type_in(browser, "7")
            browser.refresh()
            wait_for(lambda: text_of(browser, "#progress") == "3 of 8 cases are rated")
            wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
        ratings = (10 + position, 100 - position)
        type_in(browser, f"{ratings[0]}\n")
        wait_for(lambda: "Benign or malignant?" in text_of(browser, "#asked"))
        if position == 5:
            server.kill()
        type_in(browser, f"{ratings[1]}\n")
        if position == 5:
            wait_for(lambda: "does not answer; trying again. Nothing is lost" in text_of(browser, "#message"))
            server.open()
        given.append(ratings)
    wait_for(lambda: text_of(browser, "h1") == "All cases are rated.")
    assert text_of(browser, "#reader") == "Reader 1"
    assert complaints(browser) == []
    table = ReaderStudy(study.path).ratings().set_index("case")
    with sqlite3.connect(study.path) as database:
        order = json.loads(database.execute("SELECT cases FROM readers").fetchone()[0])
    assert [tuple(table.loc[number, ["synthetic", "malignant"]]) for number in order] == given


def test_two_readers_in_tabs_of_one_browser_do_not_answer_for_each_other(
    browser: Chrome, server: Server, tmp_path: Path
) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(cases=1, readers=2))
    for number, code in enumerate(study.codes(), start=1):
        if number == 2:
            browser.switch_to.new_window("tab")
        browser.get(server.page(f"read?code={code}"))
        wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
        assert text_of(browser, "#reader") == f"Reader {number}"
    browser.switch_to.window(browser.window_handles[0])
    type_in(browser, "11\n")
    wait_for(lambda: "Benign or malignant?" in text_of(browser, "#asked"))
    type_in(browser, "22\n")
    wait_for(lambda: "the address of another was opened in this browser" in text_of(browser, "#message"))
    assert len(study.ratings()) == 0


def test_a_room_that_was_left_before_it_was_ready_is_not_shown(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    browser.execute_script("""
        const asked = window.fetch;
        let held = false;
        window.fetch = (...given) => {
            if (held) return asked(...given);
            held = true;
            return new Promise((answer) => { window.goOn = () => answer(asked(...given)); });
        };
        location.hash = "#browse/0";""")
    wait_for(lambda: browser.execute_script("return 'goOn' in window"))
    browser.execute_script("location.hash = '#readers'")
    wait_for(lambda: "Reader studies" in text_of(browser, "#view"))
    browser.execute_async_script("goOn(); setTimeout(arguments[0], 1000)")
    assert "Reader studies" in text_of(browser, "#view")
    assert text_of(browser, "#message") == ""


def test_an_address_that_leads_nowhere_is_said_in_words(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#paint/0123456789abcdef"))
    wait_for(lambda: "There is no such set of patches or mammograms here" in text_of(browser, "#message"))
    browser.execute_script(
        "const into = document.querySelector('.paint select'); into.dispatchEvent(new Event('change'))"
    )
    wait_for(lambda: "Draw where" in text_of(browser, ".verdict"))
    assert text_of(browser, "#message") == ""
    browser.get(server.page("#browse/%E0%A4%A"))
    wait_for(lambda: len(all_of(browser, ".artifact")) == 3)
    assert text_of(browser, "#message") == ""


def test_facts_can_be_read_on_a_phone(browser: Chrome, server: Server) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 420, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get(server.address)
    wait_for(lambda: all_of(browser, ".artifact"))
    links = dict(
        browser.execute_script("return [...document.querySelectorAll('.artifact b a')].map((a) => [a.text, a.href])")
    )
    browser.get(links["infillers/pasted"])
    wait_for(lambda: all_of(browser, "dl dd"))
    browser.execute_script("document.querySelector('dt').textContent = 'learned from, by train-classifier '.repeat(3)")
    assert browser.execute_script("return document.querySelector('dd').clientWidth") > 150


def test_no_reader_study_is_begun_where_nothing_was_painted(browser: Chrome, server: Server) -> None:
    browser.get(server.address)
    browser.get(server.page("#readers"))
    wait_for(lambda: "No set of this folder was painted" in text_of(browser, "#view"))
    assert f"--port {server.port}" in text_of(browser, "#view")
    assert browser.execute_script("return document.querySelector('.form .main').disabled")


def test_the_analysis_is_shown_once_readers_are_done(browser: Chrome, server: Server, tmp_path: Path) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(cases=2, readers=2), fills=4)
    browser.get(server.address)
    browser.get(server.page("#readers"))
    wait_for(lambda: "Once a reader is done" in text_of(browser, ".card"))
    for code in study.codes():
        for position in range(8):
            study.rate(code, position, 10 * (position + 1), 90 - position, 1.0)
    browser.refresh()
    wait_for(lambda: "Done: 2 of 2 readers" in text_of(browser, ".card"))
    all_of(browser, ".card button")[0].click()
    wait_for(lambda: "synthetic against real (area under the ROC curve" in text_of(browser, ".card pre"))
    drawn = "const it = document.querySelector('.plot'); return it.complete && it.naturalWidth > 0"
    wait_for(lambda: browser.execute_script(drawn))
    assert complaints(browser) == []


def test_which_of_two_is_real_is_said_by_the_keyboard(browser: Chrome, server: Server, tmp_path: Path) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(kind="pairs", cases=1, readers=1))
    assert isinstance(study, PairStudy)
    (code,) = study.codes()
    browser.get(server.page(f"read?code={code}"))
    wait_for(lambda: text_of(browser, "#progress") == "0 of 2 pairs are judged")
    wait_for(lambda: "Which of the two is real?" in text_of(browser, "#asked"))
    assert len([one for one in all_of(browser, "#cases canvas") if one.is_displayed()]) == 2
    press(browser, "ARROW_LEFT", "ARROW_RIGHT", "ENTER")
    wait_for(lambda: text_of(browser, "#progress") == "1 of 2 pairs are judged")
    wait_for(lambda: text_of(browser, "#typed") == "–")
    press(browser, "ARROW_LEFT", "ENTER")
    wait_for(lambda: "All pairs are judged" in text_of(browser, "#question"))
    assert complaints(browser) == []
    assert sorted(study.choices()["called_left"]) == [False, True]


def press(browser: Chrome, *names: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(browser).send_keys(*[getattr(Keys, name) for name in names]).perform()


def type_in(browser: Chrome, text: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    chain = ActionChains(browser)
    for letter in text:
        chain.send_keys(Keys.ENTER if letter == "\n" else letter)
    chain.perform()


def test_a_reader_on_a_tablet_rates_by_touch(browser: Chrome, server: Server, tmp_path: Path) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(cases=1, readers=1))
    (code,) = study.codes()
    browser.get(server.page(f"read?code={code}"))
    wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
    assert shown_keys(browser) == [], "a screen that is not touched needs none"
    touch_screen(browser, 768, 1024)
    keys = {one.get_attribute("data-key"): one for one in wait_for(lambda: shown_keys(browser))}
    assert set(keys) == {*"0123456789", "Backspace", "Escape", "Enter"}
    for one in keys.values():
        assert min(one.size["width"], one.size["height"]) >= 44
        assert in_sight(browser, one)
    assert in_sight(browser, all_of(browser, "#case")[0]), "beside the keys, without scrolling"
    tap(browser, keys["0"], keys["0"], keys["0"], keys["Enter"])
    wait_for(lambda: text_of(browser, "#message") == "Type a number from 1 to 100.")
    assert all(in_sight(browser, one) for one in keys.values()), "the message covers no key"
    tap(browser, keys["Backspace"], keys["Backspace"], keys["Backspace"])
    wait_for(lambda: text_of(browser, "#typed") == "–")
    assert text_of(browser, "#message") == ""
    assert keys["Escape"].get_attribute("disabled")
    given, pages = [], set()
    for position in range(4):
        wait_for(lambda position=position: text_of(browser, "#progress") == f"{position} of 4 cases are rated")
        wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
        pages.add(browser.execute_script("return document.body.outerHTML").replace(f"{position} of 4", ""))
        if position == 1:
            tap(browser, keys["9"], keys["Enter"], keys["Escape"])
            wait_for(lambda: "Real or synthetic?" in text_of(browser, "#asked"))
        tap(browser, keys["1"], keys[str(position)], keys["Enter"])
        wait_for(lambda: "Benign or malignant?" in text_of(browser, "#asked"))
        tap(browser, keys["7"])
        wait_for(lambda: text_of(browser, "#typed") == "7")
        press(browser, "ENTER")  # of a keyboard beside, which does not press the touched key again
        given.append((10 + position, 7))
    wait_for(lambda: text_of(browser, "h1") == "All cases are rated.")
    assert shown_keys(browser) == []
    assert len(pages) == 1, "real and synthetic cases have the same page"
    table = ReaderStudy(study.path).ratings().set_index("case")
    with sqlite3.connect(study.path) as database:
        order = json.loads(database.execute("SELECT cases FROM readers").fetchone()[0])
    assert [tuple(table.loc[number, ["synthetic", "malignant"]]) for number in order] == given
    assert complaints(browser) == []


def test_which_of_two_is_real_is_said_by_touch(browser: Chrome, server: Server, tmp_path: Path) -> None:
    study = asked_of_readers(server, tmp_path, ReaderStudySettings(kind="pairs", cases=1, readers=1))
    assert isinstance(study, PairStudy)
    (code,) = study.codes()
    touch_screen(browser, 390, 844)
    browser.get(server.page(f"read?code={code}"))
    wait_for(lambda: text_of(browser, "#progress") == "0 of 2 pairs are judged")
    keys = {one.get_attribute("data-key"): one for one in wait_for(lambda: shown_keys(browser))}
    assert list(keys) == ["ArrowLeft", "ArrowRight", "Enter"]
    for one in (*keys.values(), *all_of(browser, "#cases canvas")):
        assert min(one.size["width"], one.size["height"]) >= 44
        assert in_sight(browser, one)
    tap(browser, keys["ArrowLeft"])
    wait_for(lambda: text_of(browser, "#typed") == "← left")
    tap(browser, all_of(browser, "#other")[0])
    wait_for(lambda: text_of(browser, "#typed") == "right →")
    tap(browser, keys["Enter"])
    wait_for(lambda: text_of(browser, "#progress") == "1 of 2 pairs are judged")
    wait_for(lambda: text_of(browser, "#typed") == "–")
    tap(browser, keys["ArrowLeft"], keys["Enter"])
    wait_for(lambda: "All pairs are judged" in text_of(browser, "#question"))
    assert shown_keys(browser) == []
    assert sorted(study.choices()["called_left"]) == [False, True]
    assert complaints(browser) == []


def touch_screen(browser: Chrome, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})


def shown_keys(browser: Chrome) -> list[Any]:
    return [one for one in all_of(browser, ".keys button") if one.is_displayed()]


def tap(browser: Chrome, *elements: Any) -> None:
    """Touch elements with a finger, one after another."""
    from selenium.webdriver.common.actions import interaction
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    for element in elements:
        finger = ActionBuilder(browser, mouse=PointerInput(interaction.POINTER_TOUCH, "finger"))
        finger.pointer_action.move_to(element).pointer_down().pointer_up()
        finger.perform()
