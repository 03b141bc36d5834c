"""The page: what is on it, that it stands alone, what is refused, and that it comes out the same each time."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_study import SCRIPT, make, make_evaluation, make_patches, make_study, patch_row

from mammofill.evaluation import Evaluation
from mammofill.ground.errors import ArtifactError, DamagedError, SettingsError
from mammofill.ground.imaging import decode_png
from mammofill.report import PAPER_TABLE, Report, WriteReportSettings, format_table, write_report
from mammofill.report.examples import real_examples, synthetic_examples
from mammofill.report.flow import flow_sheets
from mammofill.report.lineage import find_lineage


class Reader(HTMLParser):
    """Collects what a browser would fetch, where links lead, tags that are left open, and the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.links += [named["href"] or ""] if tag == "a" else []
        self.references += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "action")]
        self.references += [value or "" for name, value in attrs if name == "href" and tag != "a"]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "img":
            self.alts.append(named.get("alt") or "")
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"h1", "h2"} & set(self.open):
            self.headings[-1] += data
        if "style" not in self.open:
            self.words += data


def test_the_page_stands_alone(page: str) -> None:
    read = Reader(page)
    assert page.startswith("<!doctype html>")
    assert len(read.references) > 10
    assert all(reference.startswith("data:image/") for reference in read.references)
    assert all(link.startswith("#") for link in read.links)
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    assert read.open == []


def test_every_link_of_the_contents_leads_to_one_place(page: str) -> None:
    read = Reader(page)
    assert len(set(read.ids)) == len(read.ids)
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert len(read.links) > 5


def test_every_section_appears_once(page: str) -> None:
    headings = Reader(page).headings
    assert len(set(headings)) == len(headings)
    for name in ("Table 1", "ROC curves", "More lesions and fills", "Participant flow", "Training", "Lineage"):
        assert sum(one.startswith(name) for one in headings) == 1, name


def test_the_first_screen_comes_first(page: str) -> None:
    read = Reader(page)
    first = ["answer", "lesions", "not-tested", "contents", "table1"]
    assert [name for name in read.ids if name in first] == first
    assert read.headings[0] == "How well do these classifiers tell malignant from benign lesions?"
    assert "".join(read.headings).count("Contents") == 1


def test_three_real_lesions_stand_beside_fills_of_each_class(page: str) -> None:
    alts = Reader(page).alts
    for words, count in (("real, benign", 3), ("real, malignant", 3), ("fill, benign", 2), ("fill, malignant", 2)):
        shown = [alt for alt in alts if alt.startswith(f"{words} lesion ")]
        assert len(shown) == count, words  # the toy study has two fills of a class
        assert len({alt.split(", ")[-1] for alt in shown}) == count, "of different patients"
        outlined = [alt for alt in alts if alt.startswith(f"{words} outline ")]
        assert [alt.replace("outline", "lesion") for alt in outlined] == shown, "and again with its outline"
    assert "below that with its lesion outlined in amber. A fill is a lesion that an" in Reader(page).words


def test_every_picture_says_what_it_shows_in_numbers(page: str) -> None:
    alts = Reader(page).alts
    assert len(alts) > 15
    assert all(re.search(r"\d", alt) for alt in alts)
    (roc,) = (alt for alt in alts if alt.startswith("ROC curves"))
    assert re.search(r"shallow CNN: AUC 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\], at its threshold recall 0\.\d\d", roc)
    assert any("loss: 0.7 at first, 0.7 at last" in alt for alt in alts)


def test_embedded_drawings_refer_to_nothing_outside(page: str) -> None:
    drawings = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(drawings) == 5  # ROC, an infiller, three classifiers
    for drawing in drawings:
        text = base64.b64decode(drawing).decode()
        assert all(target.startswith("#") for target in re.findall(r'(?:href|src)="([^"]*)"', text))


def test_every_arm_and_every_row_of_the_paper_is_there(page: str) -> None:
    words = Reader(page).words
    assert words.count("shallow CNN") > 3
    assert "with generated patches" in words
    for row in PAPER_TABLE:
        assert row.name in words
        for value in (row.accuracy, row.recall, row.printed_auc):
            assert f"{value:.3f}" in words
    assert "294 more benign patches" in words


def test_names_are_shown_not_run(page: str) -> None:
    assert "<script" not in page
    assert SCRIPT in Reader(page).words


def test_windows_of_infillers_are_not_counted_among_patches(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "patches", [patch_row(k, "benign") for k in range(2)], {})
    windows = make_patches(tmp_path / "windows", [patch_row(k, "benign") for k in range(7)], {})
    infiller = make(tmp_path / "infiller", "infiller", {"patches": patches, "windows": windows}, {"a.txt": "weights"})
    classifier = make(
        tmp_path / "classifier", "classifier", {"patches": patches, "infiller": infiller}, {"b.txt": "others"}
    )
    evaluation = make_evaluation(tmp_path / "a", "a", 1.0, {"classifier": classifier, "patches": patches})
    *_, sheet = flow_sheets(find_lineage([evaluation]), {"a": [evaluation]})
    assert sheet.rows == (
        ("real", "train", "0", "2", "0", "2", "2"),
        ("real, windows for infillers", "train", "0", "7", "0", "7", "7"),
    )


def test_the_flow_counts_whom_every_stage_kept_and_what_it_left_out(page: str) -> None:
    rows = {row[0]: row[1:] for row in rows_of(page)}
    assert rows["read: mammograms"] == ["40", "40", "40", "", "file missing 2 (of 1 patient)"]
    assert rows["cut: patches"][0] == "8"
    assert rows["cut: patches"][-1] == "lesions in no patch: 40; windows: too little breast 1 234"
    assert rows["painted: synthetic"][3] == "4 fills"
    assert rows["paired: pairs"][-1] == "try hole off the breast 77"
    assert rows["tested"] == ["40", "", "40", "40", ""]


def rows_of(page: str) -> list[list[str]]:
    """The cells of every row of every table."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


def test_every_artifact_upstream_has_its_settings_and_fingerprint(page: str, evaluations: list[Evaluation]) -> None:
    words = Reader(page).words
    for kind in ("mammograms", "patches", "pairs", "infiller", "classifier", "evaluation"):
        assert f"toy-{kind}" in words or kind == "evaluation"
    assert page.count('<details class="source">') == 5 + 3 + 3
    for one in evaluations:
        assert one.fingerprint in words
    assert evaluations[0].test_set in words
    assert "Not found" not in words


def test_settings_that_two_artifacts_have_alike_are_said_once(page: str) -> None:
    assert page.count("Settings other than those of classifier-0") == 2
    assert len([row for row in rows_of(page) if row[:1] == ["rate"]]) == 5, "one for each stage"


def test_no_place_on_this_machine_is_named(page: str, study: Path) -> None:
    assert str(study) not in page


def test_the_same_bytes_twice(study: Path, report: Report, evaluations: list[Evaluation]) -> None:
    again = write_report(evaluations, study / "again", WriteReportSettings(examples_per_kind=2))
    assert again.fingerprint == report.fingerprint
    assert again.page.read_bytes() == report.page.read_bytes()


def test_table1_holds_both_studies(report: Report, evaluations: list[Evaluation]) -> None:
    table = pd.read_csv(report.folder / "table1.csv")
    assert table.groupby("source").size().to_dict() == {"paper": 16, "this study": 63}
    ours = table[(table["arm"] == SCRIPT) & (table["measure"] == "auc")]
    expected = evaluations[1].metrics.set_index("measure").loc["auc"]
    assert ours[["value", "low", "high"]].to_numpy()[0] == pytest.approx(expected[["value", "low", "high"]].tolist())
    assert table.loc[table["source"] == "paper", "low"].isna().all()


def test_the_papers_rows_follow_from_the_counts() -> None:
    for row in PAPER_TABLE:
        recall = row.malignant_right / row.malignant
        accuracy = (row.malignant_right + row.benign_right) / (row.malignant + row.benign)
        assert row.accuracy == pytest.approx(accuracy, abs=1e-5)
        assert row.recall == pytest.approx(recall, abs=1e-5)
        assert row.printed_auc == pytest.approx((recall + row.specificity) / 2, abs=6e-5)


def test_different_test_sets_are_refused(tmp_path: Path) -> None:
    one = make_evaluation(tmp_path / "one", "first arm", 1, {})
    two = make_evaluation(tmp_path / "two", "second arm", 1, {}, test_set="b" * 64)
    with pytest.raises(
        ArtifactError, match=r"different test sets(.|\n)*one \(first arm\): test set aaaa(.|\n)*two .*bbbb"
    ):
        write_report([one, two], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_no_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="at least one evaluation"):
        write_report([], tmp_path / "report")


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    evaluations = make_study(tmp_path, {"a": 1.0, "b": 1.0})
    shutil.rmtree(tmp_path / "infiller")
    shutil.rmtree(tmp_path / "classifier-0")
    report = write_report(evaluations, tmp_path / "report")
    words = " ".join(Reader(report.page.read_text(encoding="utf-8")).words.split())
    assert "Not found" in words
    assert "infiller “infiller” with fingerprint" in words
    assert "classifier “classifier-0” with fingerprint" in words
    assert report.manifest.counts["missing_upstream"] == 2


@pytest.mark.parametrize("name", ["patches/patches-00000.parquet", "infiller/history.csv"])
def test_what_was_changed_upstream_is_not_shown(tmp_path: Path, name: str) -> None:
    evaluations = make_study(tmp_path, {"a": 1.0, "b": 1.0})
    path = tmp_path / name
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DamagedError, match=f"{name} was changed after it was finished: its SHA-256 was"):
        write_report(evaluations, tmp_path / "report")


def test_arms_of_one_name_are_refused(tmp_path: Path) -> None:
    several = [make_evaluation(tmp_path / place, "baseline", 1, {}) for place in ("one", "two")]
    with pytest.raises(ArtifactError, match=r"one and .*two are both called 'baseline', replicate 0.* --arm NAME"):
        write_report(several, tmp_path / "report")
    again = make_evaluation(tmp_path / "three", "baseline", 1, {}, replicate=1)
    assert write_report([several[0], again], tmp_path / "report").page.is_file()


def test_arms_that_came_out_alike_are_shown_apart(tmp_path: Path) -> None:
    twin = make(tmp_path / "twin", "classifier", {}, {"history.csv": "images_seen\n"})
    again = make(tmp_path / "again", "classifier", {}, {"history.csv": "images_seen\n"})
    assert twin.fingerprint == again.fingerprint
    arms = [make_evaluation(tmp_path / f"of-{one.folder.name}", "arm", 1, {"classifier": one}) for one in (twin, again)]
    assert [one.folder.name for one in find_lineage(arms).of_kind("classifier")] == ["twin", "again"]


def test_one_evaluation_with_nothing_upstream(tmp_path: Path) -> None:
    alone = make_evaluation(tmp_path / "alone", "alone", 1, {})
    report = write_report([alone], tmp_path / "report", WriteReportSettings(title="One & only"))
    page = report.page.read_text(encoding="utf-8")
    assert "<title>One &amp; only</title>" in page
    assert "How well does this classifier tell malignant from benign lesions?" in page
    assert "Differences in" not in page
    assert "Real lesions" not in page


def test_real_examples_are_of_different_patients_and_have_an_outline(tmp_path: Path) -> None:
    rows = [patch_row(k, "malignant", patient_id=f"patient-{k // 5}") for k in range(15)]
    patches = make_patches(tmp_path / "patches", rows, {})
    (row,) = real_examples(patches, 3, seed=0)
    assert sorted(one.words for one in row.examples) == [f"patient-{k}, train" for k in range(3)]
    picture = decode_png(row.examples[0].pictures[0])
    coloured = np.ptp(picture.astype(int), axis=2) > 0
    assert coloured[8, 10:24].all()
    assert not coloured[10:18, 12:22].any()


def test_generated_examples_stand_beside_their_context(tmp_path: Path) -> None:
    real = make_patches(tmp_path / "real", [patch_row(0, "normal")], {})
    fills = [
        patch_row(k, "benign", patch_id=f"fill-{k}", origin="synthetic", context_patch_id=context)
        for k, context in enumerate(["train-normal-0", "nowhere"])
    ]
    synthetic = make_patches(tmp_path / "synthetic", fills, {})
    (row,) = synthetic_examples(synthetic, [real, synthetic], 5, seed=0)
    pictures = {len(one.pictures): one for one in row.examples}
    context, fill, outlined = pictures[3].pictures
    assert len({context, fill, outlined}) == 3
    assert "context not found" in pictures[1].words


def test_the_table_for_the_command_line(evaluations: list[Evaluation]) -> None:
    lines = format_table(evaluations).splitlines()
    assert len(lines) == 4
    places = [line.index("[") for line in lines[1:]]
    assert len(set(places)) == 1


def test_settings_refuse_nonsense() -> None:
    with pytest.raises(SettingsError, match=r"examples_per_kind must be in 0\.\.100, but is -1"):
        WriteReportSettings(examples_per_kind=-1)


def test_the_face_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from mammofill.report import WriteReportSettings, format_table; "
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
