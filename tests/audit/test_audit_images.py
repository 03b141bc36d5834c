"""What the images reveal: practice mammograms with one fault of each kind, and the same ones without."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from faulty_phantoms import mask_of, write_faulty, write_sound

from mammofill.audit import Audit, AuditSettings, audit, summarise, write_audit
from mammofill.cli import main
from mammofill.ground.errors import SettingsError, SourceError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faulty(tmp_path_factory.mktemp("faulty") / "collection")


@pytest.fixture(scope="module")
def audited(faulty: Path) -> Audit:
    before = contents(faulty)
    result = audit(faulty, AuditSettings(workers=0))
    assert contents(faulty) == before
    return result


def cases(result: Audit, finding: str) -> list[Any]:
    return list(next(one for one in result.findings if one.finding == finding).cases)


def test_sound_practice_mammograms_have_nothing_serious_and_nothing_moderate(tmp_path: Path) -> None:
    result = audit(write_sound(tmp_path / "sound", "tables"), AuditSettings(workers=0))
    assert [one.finding for one in result.found if one.severity != "note"] == []
    assert not cases(result, "laterality-and-side")


def test_each_fault_is_found_where_it_was_put(audited: Audit) -> None:
    assert audited.collection == "cbis-ddsm"
    assert audited.recognised
    expected = {
        "pictures-alike": 2,
        "unreadable": 1,
        "mask-empty": 1,
        "mask-resampled": 1,
        "mask-size": 1,
        "mask-outside-breast": 1,
        "files-of-no-row": 1,
        "few-levels": 1,
        "saturated": 1,
    }
    counts = {one.finding: one.count for one in audited.found}
    assert {name: counts.get(name, 0) for name in expected} == expected


def test_copies_are_told_from_mirrored_copies_and_name_both(audited: Audit) -> None:
    alike = cases(audited, "pictures-alike")
    assert sorted(case.mirrored for case in alike) == [False, True]
    assert all(len(case.mammogram_ids) == 2 for case in alike)
    assert all(case.patient_id is None for case in alike)
    assert any("mirror images" in case.words for case in alike)


def test_masks_that_are_not_where_the_tables_say_are_named(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "sound")
    tables = [pd.read_csv(path) for path in source.rglob("*_set.csv")]
    expected = {}
    for row in pd.concat(tables).to_dict("records"):
        crop, mask = (row[f"{name} file path"].strip().split("/") for name in ("cropped image", "ROI mask"))
        assert crop[-2] == mask[-2]  # the tables name one series, and the file by its number
        files = sorted((source / "CBIS-DDSM" / mask[0]).rglob("*.dcm"))
        if len({file.parent for file in files}) > 1:
            expected[mask[0]] = "its files lie in two folders; the tables name one"
        elif mask_of(source / "CBIS-DDSM" / mask[0]).name == "1-1.dcm" and mask[-1] == "000001.dcm":
            expected[mask[0]] = "the mask is file 1 of its folder; the table says file 2"
    result = audit(source, AuditSettings(workers=0))
    assert {case.what: case.words for case in cases(result, "masks-swapped")} == expected
    assert len(set(expected.values())) == 2
    assert not cases(result, "masks-apart")


def test_the_mirrored_breast_and_the_one_of_the_other_side_are_named(audited: Audit) -> None:
    for case in cases(audited, "laterality-and-side"):
        assert re.fullmatch(
            r"(left|right) by the table; the breast lies on the (left|right) of the picture", case.words
        )
    named = {case.what for case in cases(audited, "laterality-and-side")}
    mirrored = next(case for case in cases(audited, "pictures-alike") if case.mirrored)
    assert named & set(mirrored.mammogram_ids)


def test_the_audit_says_what_ingest_does(audited: Audit, faulty: Path, tmp_path: Path) -> None:
    settings = IngestSettings(abnormality="all")
    made: MammogramSet = ingest(faulty, tmp_path / "made", settings)
    told = {(case.what, one.finding) for one in audited.found for case in one.cases}
    for table in (made.exclusions, made.decisions):
        for line in table.to_dict("records"):
            assert (line["what"], line["rule"]) in told


def test_worker_processes_find_the_same(audited: Audit, faulty: Path) -> None:
    assert audit(faulty, AuditSettings(workers=2)).findings == audited.findings


def _die_over_one(source: Path, folder: Path, settings: object, entry: Any) -> None:
    if entry.mammogram_id.endswith("P_90003_RIGHT_CC"):
        os.kill(os.getpid(), 9)
    from mammofill.audit.examine import examine

    examine(source, folder, settings, entry)  # type: ignore[arg-type]


def test_a_process_that_dies_over_one_file_is_a_case_and_not_the_end(
    faulty: Path, audited: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("mammofill.audit.audit"), "examine", _die_over_one)
    result = audit(faulty, AuditSettings(workers=2))
    died = cases(result, "reader-died")
    assert [case.what for case in died] == ["Mass-Training_P_90003_RIGHT_CC"]
    assert "was ended by SIGKILL twice" in died[0].words
    assert len(cases(result, "mask-empty")) == len(cases(audited, "mask-empty"))


# ---- files and words ------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_shows_pictures(audited: Audit, tmp_path: Path) -> None:
    page = write_audit(audited, tmp_path / "out", pictures=2)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert text.count("data:image/jpeg;base64,") > 10
    assert "<h3>The same picture under two patients: 2</h3>" in text
    assert "<code>ingest</code> follows the tables" in text
    assert str(audited.source) + os.sep not in text.replace(f"Audit of {audited.source}", "")


def test_words_of_a_table_cannot_break_the_page(audited: Audit, tmp_path: Path) -> None:
    from dataclasses import replace

    from mammofill.audit.write import render_page

    nasty = replace(audited.findings[0].cases[0] if audited.findings[0].cases else cases(audited, "unreadable")[0])
    nasty = replace(nasty, what="<script>", words="`<b>` & more")
    finding = replace(audited.found[0], cases=(nasty,), ingest="`<i>`")
    text = render_page(replace(audited, findings=(finding,)), {})
    assert "<script>" not in text
    assert "<code>&lt;i&gt;</code>" in text


def test_the_json_holds_every_case(audited: Audit, tmp_path: Path) -> None:
    write_audit(audited, tmp_path / "out", pictures=0)
    written = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert written["collection"] == "cbis-ddsm"
    assert written["counts"]["mammograms"] == 24
    by_name = {one["finding"]: one for one in written["findings"]}
    assert len(by_name) == len(audited.findings)
    case = by_name["unreadable"]["cases"][0]
    assert "truncated" in case["words"]
    assert set(by_name["unreadable"]) >= {"title", "severity", "consequence", "ingest", "look_up", "count", "summary"}


def test_the_summary_begins_with_the_serious(audited: Audit) -> None:
    shown = summarise(audited)
    assert shown.index("SERIOUS") < shown.index("MODERATE") < shown.index("NOTE")
    assert "The same picture under two patients: 2" in shown
    assert "Looked for and not found: " in shown
    assert max(map(len, shown.splitlines())) < 200


def test_notes_name_up_to_three_of_their_cases(audited: Audit) -> None:
    shown = summarise(audited)
    notes = [one for one in audited.found if one.severity == "note"]
    assert notes
    for note in notes:
        told = shown.partition(f"- {note.title}: {note.count:,}\n")[2].partition("    Consequence: ")[0]
        named = [case.what for case in note.cases if case.what in told]
        assert named[:3] == [case.what for case in note.cases[:3]]
        if len(note.cases) > 3:
            assert f"and {len(note.cases) - 3} more" in told


def test_the_command(faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", str(faulty), "--out", str(tmp_path / "out"), "--workers", "0", "--pictures", "1", "--quiet"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert f"open {tmp_path / 'out' / 'index.html'}" in shown.out
    assert shown.err == ""
    assert main([*arguments[:2], "--tables-only", "--strict"]) == 0  # the tables alone have nothing serious
    assert main([*arguments[:2], "--strict", "--workers=0", "--quiet"]) == 9


def test_it_refuses_to_write_into_the_collection(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(faulty), "--out", str(faulty / "audit")]) == 2
    assert "lies in the collection" in capsys.readouterr().err
    assert not (faulty / "audit").exists()


def test_what_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        audit(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="not recognised as any of cbis-ddsm.*--collection"):
        audit(tmp_path)
    with pytest.raises(SettingsError, match="collection must be one of cbis-ddsm"):
        AuditSettings(collection="some")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="workers must be at least 0"):
        AuditSettings(workers=-1)
