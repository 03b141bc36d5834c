"""What the tables reveal: counted on rows written by hand, and on the real tables of CBIS-DDSM."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from real_data import real_data

import mammofill.mammograms
from mammofill.audit import AuditSettings, Finding, audit, summarise, write_audit
from mammofill.audit.overview import count_all
from mammofill.audit.rules import is_told_by_tables, rule_findings
from mammofill.audit.tables import table_findings
from mammofill.cli import main
from mammofill.mammograms.sources.annotations import (
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
)
from mammofill.mammograms.sources.collections import COLLECTIONS


def row(
    lesion: str | None,
    patient: str = "P1",
    mammogram: str = "P1_L_CC",
    pathology: str | None = "benign",
    abnormality: str | None = "mass",
    split: str | None = "train",
    **more: object,
) -> Listed:
    about = {"laterality": "left", "view": "cc", "density": "2", "missing": ()} | more
    return Listed(
        row=f"own.csv row {lesion}",
        patient_id=patient,
        mammogram_id=mammogram,
        lesion_id=lesion,
        pathology=pathology,
        abnormality=abnormality,
        official_split=split,
        **about,  # type: ignore[arg-type]
    )


def found(*rows: Listed) -> dict[str, Finding]:
    return {one.finding: one for one in table_findings(Collection((), (), listed=rows))}


def names(finding: Finding) -> list[str]:
    return [case.what for case in finding.cases]


def test_a_patient_in_two_splits_is_named_with_the_tables_that_it_is_in() -> None:
    findings = found(
        row("a", "P1", "m1", abnormality="mass", split="train"),
        row("b", "P1", "m2", abnormality="calcification", split="test"),
        row("c", "P2", "m3", abnormality="mass", split="train"),
        row("d", "P3", "m4", abnormality="mass", split="test"),
    )
    leak = findings["patients-in-several-splits"]
    assert names(leak) == ["P1"]
    assert leak.severity == "serious"
    assert leak.summary == (
        "1 in mass train and calcification test",
        "`official-patient-safe` uses 1 of them for test alone",
        "calcification alone: 0, mass alone: 0",
    )
    assert "`--split official` refuses" in leak.ingest


def test_a_view_with_its_lesions_on_two_mammograms_is_found_and_two_films_of_one_view_are_not() -> None:
    findings = found(
        row("a", "P1", "mass film", abnormality="mass", split="train"),
        row("b", "P1", "calc film", abnormality="calcification", split="test"),
        row("c", "P2", "film 1", abnormality="mass"),
        row("d", "P2", "film 2", abnormality="mass"),
        row("e", "P3", "film 3", abnormality="mass", view=None),
        row("f", "P3", "film 4", abnormality="calcification", view=None),
    )
    twins = findings["views-twice"]
    assert names(twins) == ["P1 left CC"]
    assert twins.cases[0].mammogram_ids == ("calc film", "mass film")
    assert twins.summary == ("1 of them are in different splits",)


def test_rows_that_repeat_and_rows_that_contradict() -> None:
    findings = found(
        row("a"),
        row("a"),
        row("b", pathology="benign"),
        row("b", pathology="malignant"),
        row("c", "P2", "m2", density="1"),
        row("d", "P3", "m2", density="2"),
    )
    assert [case.words for case in findings["rows-repeated"].cases] == ["repeats own.csv row a: a"]
    disagreeing = {(case.what, case.words) for case in findings["rows-disagree"].cases}
    assert disagreeing == {
        ("b", "benign and malignant, by own.csv row b, own.csv row b"),
        ("m2", "patient P2 and P3"),
        ("m2", "breast density 1 and 2"),
    }


def test_several_lesions_and_both_pathologies_on_one_mammogram() -> None:
    findings = found(
        row("a", mammogram="m1", pathology="benign"),
        row("b", mammogram="m1", pathology="malignant"),
        row("c", mammogram="m2"),
        row("d", mammogram="m2"),
        row("d", mammogram="m2"),
        row("e", mammogram="m3"),
        row(None, mammogram="m4", pathology="normal", abnormality=None),
    )
    assert names(findings["several-lesions"]) == ["m1", "m2"]
    assert findings["several-lesions"].summary == ("2 with 2 lesions",)
    assert [(case.what, case.words) for case in findings["both-pathologies"].cases] == [("m1", "1 benign, 1 malignant")]


def test_empty_cells_are_counted_by_column_and_rows_without_a_split_are_named() -> None:
    findings = found(
        row("a", missing=("margins", "shape")), row("b", missing=("shape",)), row("c"), row("d", split=None)
    )
    assert findings["cells-empty"].summary == ("shape: 2", "margins: 1")
    assert findings["cells-empty"].count == 2
    assert names(findings["rows-without-split"]) == ["own.csv row d"]
    assert found(row("a", split=None))["rows-without-split"].count == 0


def test_a_lesion_without_pathology_and_a_collection_of_one_pathology() -> None:
    findings = found(row("a", pathology="malignant"), row("b", pathology=None))
    assert names(findings["lesion-without-pathology"]) == ["b"]
    assert findings["one-pathology"].cases[0].words == "all 2 lesions are malignant"
    assert found(row("a"), row("b", pathology="malignant"))["one-pathology"].count == 0


def test_where_a_reader_hands_on_no_rows_its_entries_are_counted() -> None:
    lesions = tuple(
        LesionEntry(f"m1_{number}", pathology, "mass", (Path("mask.png"),), "row")
        for number, pathology in enumerate(("benign", "malignant"))
    )
    entries = (
        MammogramEntry("m1", "P1", "left", "cc", (Path("m1.png"),), lesions, official_split="train"),
        MammogramEntry("m2", "P1", "left", "mlo", (Path("m2.png"),), (), official_split="test"),
    )
    collection = Collection(entries, ())
    overview = count_all(collection)
    assert (overview.patients, overview.mammograms, overview.lesions, overview.mammograms_with_file) == (1, 2, 2, 2)
    totals = {line[0]: line[1:] for line in overview.sheets[1].rows}
    assert totals["patients"] == ("1", "1", "1")  # in both splits, and one person in all
    assert totals["without lesion"] == ("0", "1", "1")
    findings = {one.finding: one for one in table_findings(collection)}
    assert findings["patients-in-several-splits"].count == 1
    assert names(findings["both-pathologies"]) == ["m1"]


def test_where_there_is_one_split_nobody_is_said_to_be_in_one_alone() -> None:
    assert "patients-in-several-splits" not in found(row("a"), row("b", "P2"))
    assert found(row("a"), row("b", "P2", split="test"))["patients-in-several-splits"].count == 0


def test_a_mask_in_a_series_of_its_own_is_told_from_the_tables() -> None:
    findings = found(row("a", mask_number=2), row("b", mask_apart=True))
    assert names(findings["masks-apart"]) == ["b"]
    assert "masks-apart" not in found(row("a"))  # tables that say nothing of the kind


def test_what_a_reader_leaves_out_is_told_where_the_rows_as_listed_do_not_show_it() -> None:
    rows = (row(None, mammogram="m1"), row(None, mammogram="m1"), row("a", pathology="benign"), row("a"))
    exclusions = (
        Exclusion("m1", None, "rows-disagree", "own.csv row 2, own.csv row 3 disagree about Bi-Rads."),
        Exclusion("own.csv row a", "P1", "row-repeated", "told already"),
        Exclusion("own.csv row 9", None, "row-repeated", "own.csv row 9 repeats own.csv row 8."),
    )
    noted = (Decision("m2", "P2", "rows-disagree", "own.csv row 5 calls m2 normal, but row 6 does not.", "Kept."),)
    findings = {one.finding: one for one in table_findings(Collection((), exclusions, noted, listed=rows))}
    assert [case.words for case in findings["rows-disagree"].cases] == [exclusions[0].found, noted[0].found]
    assert names(findings["rows-repeated"]) == ["own.csv row a", "own.csv row 9"]


_NO_RULES = ("official-patient-safe", "de-identified", "utf-8", "utf-8-sig", "utf-16", "latin-1", "windows-1252")
"""Other words with hyphens that the code of ingest names."""


def test_every_rule_of_ingest_is_explained() -> None:
    source = Path(mammofill.mammograms.__file__).parents[1]
    files = [*(source / "mammograms").rglob("*.py"), *(source / "dicom").rglob("*.py"), source / "pictures.py"]
    named = re.compile(r'"([a-z]+(?:-[a-z0-9]+)+)"')
    words = {word for path in files for word in named.findall(path.read_text(encoding="utf-8"))}
    rules = words - {*COLLECTIONS, *_NO_RULES}
    assert {"mask-size", "twins-unknown", "sign-unused", "pathology-word"} <= rules

    def is_explained(rule: str) -> bool:
        (finding,) = rule_findings([Exclusion("x", None, rule, "Why.")], [], looked_for=())
        return is_told_by_tables(Exclusion("x", None, rule, "Why.")) or not finding.title.startswith("Ingest's rule")

    assert [rule for rule in sorted(rules) if not is_explained(rule)] == []


def test_rules_of_ingest_become_findings_and_an_unknown_rule_is_told_as_it_is() -> None:
    exclusions = [Exclusion("m1", "P1", "unreadable", "m1.dcm is truncated."), Exclusion("x", None, "new-rule", "Why.")]
    decisions = [Decision("some.dcm", None, "files-of-no-row", "18 image files belong to no row.", "Not read.")]
    findings = {one.finding: one for one in rule_findings(exclusions, decisions)}
    assert findings["unreadable"].cases[0].words == "m1.dcm is truncated."
    assert findings["files-of-no-row"].count == 18
    assert findings["new-rule"].title == "Ingest's rule new-rule"
    assert findings["new-rule"].cases[0].words == "Why."
    assert findings["mask-empty"].count == 0


def test_cases_that_are_left_out_are_told_from_those_that_are_kept() -> None:
    exclusions = [Exclusion("a_1", "P1", "mask-outside-breast", "Only 0% of the mask of a_1 lies on breast.")]
    decisions = [Decision("b_1", "P2", "mask-outside-breast", "Only 17% of it does.", "Kept; look at it.")]
    finding = {one.finding: one for one in rule_findings(exclusions, decisions)}["mask-outside-breast"]
    assert [case.words for case in finding.cases] == [
        "Only 0% of the mask of a_1 lies on breast. Left out.",
        "Only 17% of it does. Kept; look at it.",
    ]
    assert finding.ingest.startswith("Left out where less than 5 % of the mask is on the breast")


def test_a_table_without_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "own.csv"
    table.write_text("image,mask,patient,laterality,view,pathology\n", encoding="utf-8")
    assert main(["audit", str(table), "--quiet"]) == 3
    assert f"{table}: there is no mammogram, for its tables have no rows below the header." in capsys.readouterr().err
    assert main(["audit", str(table), "--quiet", "--tables-only"]) == 3


def test_the_rules_told_from_tables_are_not_told_twice() -> None:
    assert is_told_by_tables(Exclusion("own.csv row 3", "P1", "row-repeated", "again"))
    assert not is_told_by_tables(Exclusion("a", "P1", "unreadable", "truncated"))


def test_lesions_that_tables_do_not_list_one_by_one_are_not_called_none(tmp_path: Path) -> None:
    """As of INbreast and CDD-CESM, whose tables say of an image what it shows."""
    rows = "1;x;L;CC;1;1;2;5\n1;x;R;CC;1;2;2;2\n1;x;R;CC;1;3;2;1\n"
    source = tmp_path / "in"
    source.mkdir()
    (source / "INbreast.csv").write_text(
        f"Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads\n{rows}"
    )
    found = audit(source, AuditSettings(tables_only=True))
    shown = summarise(found)
    assert "Lesions, which the tables do not list one by one, on 2 of 3 mammograms of " in shown
    totals = {row[0]: row[-1] for row in found.overview.sheets[1].rows}
    assert (totals["without lesion"], totals["with lesions not listed"], totals["lesions"]) == ("1", "2", "0")
    page = write_audit(found, tmp_path / "page")
    assert "Lesions, which the tables do not list one by one, on 2 of 3" in page.read_text()


# ---- the real tables ------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_the_31_patients_of_cbis_ddsm_in_both_official_splits(capsys: pytest.CaptureFixture[str]) -> None:
    source = real_data("cbis_ddsm_csv")
    assert main(["audit", "--tables-only", str(source), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "cbis-ddsm (recognised by its content)" in shown
    assert "3,568 lesions on 3,103 mammograms of 1,566 patients" in shown
    assert "Patients in more than one split of the collection: 31" in shown
    assert "official-patient-safe" in shown

    leak = {one.finding: one for one in audit(source, AuditSettings(tables_only=True)).findings}[
        "patients-in-several-splits"
    ]
    ways = Counter(case.words for case in leak.cases)
    assert ways == {"in mass train and calcification test": 13, "in mass test and calcification train": 18}
    assert leak.summary[-2:] == (
        "`official-patient-safe` uses 31 of them for test alone",
        "calcification alone: 0, mass alone: 0",
    )
    assert all(case.what in shown for case in leak.cases)


@pytest.mark.real_data
@pytest.mark.parametrize("abnormality", ["mass", "calcification"])
def test_masses_alone_and_calcifications_alone_do_not_leak(abnormality: str) -> None:
    settings = AuditSettings(abnormality=abnormality, tables_only=True)  # type: ignore[arg-type]
    result = audit(real_data("cbis_ddsm_csv"), settings)
    assert "patients-in-several-splits" in {one.finding for one in result.not_found}


@pytest.mark.real_data
def test_the_other_facts_of_the_real_tables(tmp_path: Path) -> None:
    result = audit(real_data("cbis_ddsm_csv"), AuditSettings(tables_only=True))
    counts = {one.finding: one.count for one in result.findings}
    assert counts["views-twice"] == 71
    assert counts["both-pathologies"] == 17
    assert counts["several-lesions"] == 293
    assert counts["rows-repeated"] == counts["rows-disagree"] == counts["lesion-without-pathology"] == 0
    assert counts["masks-apart"] == 104
    assert "file-missing" not in counts  # no file is there at all: nothing is said about single ones
    empty = next(one for one in result.findings if one.finding == "cells-empty")
    assert empty.summary == ("calc distribution: 439", "mass margins: 60", "calc type: 24", "mass shape: 4")
    lesions = {line[:2]: line[2:] for line in result.overview.sheets[0].rows}
    assert lesions["mass", "malignant"] == ("637", "147", "784")
    assert lesions["calcification", "benign"] == ("1,002", "197", "1,199")

    page = write_audit(result, tmp_path / "out")
    written = json.loads(page.with_name("audit.json").read_text(encoding="utf-8"))
    assert {one["finding"]: one["count"] for one in written["findings"]} == counts
    assert "No image was examined" in summarise(result)
