"""One person has one name, however tables and headers spell it; where that is not clear, nothing is made."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from collections_on_disk import Case, write_cbis
from hypothesis import given
from hypothesis import strategies as st
from real_data import real_data

from mammofill import dicom
from mammofill.audit import AuditSettings, audit
from mammofill.ground.errors import LeakError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.sources.annotations import Collection, MammogramEntry
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.sources.patients import check_patients, doubts, one_person_each, patient_key

TABLE = IngestSettings(collection="table", height_px=None)


@pytest.mark.parametrize(
    "spellings",
    [
        ("P_00001", "P_1", "1", "p_00001", "P-1", "P 1", "001", "1.0", "P1.00", "Patient 1", "pt. 1", " 1 "),
        ("D1-0001", "d1-0001", "D1_1", "D1 0001"),
        ("a01", "A1", "A-1", "\uff211"),
        ("Doe^Jane", "DOE JANE", "doe-jane"),
        ("1-23", "1_23", "01 023"),
        ("'007", "7", "Patient No. 7", "patient number 7", "Case-ID: 7", "(7)", "No7"),
        ("12", "\uff11\uff12", "\u0661\u0662", "+12", '="012"', "P\u200b12", "12\0"),
        ("M\u00fcller 1", "Mu\u0308ller 1"),
    ],
)
def test_spellings_of_one_person_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({patient_key(one) for one in spellings}) == 1


def test_words_for_nobody_are_persons_with_a_number_or_another_name() -> None:
    assert all(map(patient_key, ["NA12", "Anon 7", "P-1", "-12", "Nat King", "Ana", "99"]))


def test_different_persons_have_different_keys() -> None:
    persons = ["1", "10", "100", "1-23", "12-3", "D1-0001", "D2-0001", "D1-0011", "a1", "b1", "1.2.840.1", "1.2.840.10"]
    assert len({patient_key(one) for one in persons}) == len(persons)


@given(st.integers(0, 10**9), st.sampled_from(["", "P_", "p", "PT-", "Patient ", "id"]), st.integers(0, 5))
def test_a_number_is_itself_with_zeros_decimals_or_a_word_before_it(number: int, word: str, zeros: int) -> None:
    assert patient_key(f"{word}{'0' * zeros}{number}") == patient_key(f"{number}.0") == str(number)


def collection(*patients: str) -> Collection:
    entries = (
        MammogramEntry(f"m{number}", patient, "left", "cc", (Path("x"),), ()) for number, patient in enumerate(patients)
    )
    return Collection(tuple(entries), ())


@pytest.mark.parametrize(
    "patients",
    [("1", "A1"), ("12345", "12-345"), ("1.23E+11", "7"), ("0123", "01-23"), ("1000", "1,000"), ("1", "1,000"),
     ("1", "1.000"), ("1000", "1e3"), ("P1_L", "P1_R"), ("12", "12 right MLO"), ("Muller", "M\u00fcller"),
     ("A1", "\u04101"), ("P_00001", "P_00001_LEFT"), ("P_00001", "P_00001_RIGHT_MLO_2"), ("L1", "R1"),
     ("Calc-Training_P_00001", "Mass-Training_P_00001"), ("P1 baseline", "P1 follow-up"), ("P1_visit1", "P1_visit2"),
     ("12", "12P"), ("12", "12a"), ("P_00001", "P_00001_1"), ("P1", "P1.dcm"), ("1.1", "1.10"), ("1-2", "2-Jan"),
     ("MAR1", "1-Mar"), ("Doe Jane", "Jane Doe"), ("P102", "P1O2"), ("121", "12l"), ("Mueller", "M\u00fcller"),
     ("Study 1 Left", "study 1"), ("P1", "P1_2019"), ("P1", "P1 - Copy"), ("P1", "P1LeftMLO"), ("P1", "SITE1-P1"),
     ("P1a", "1a"), ("12", "l2"), ("P12", "PI2"), ("Mrs Jane Doe", "Jane Doe"), ("Doe^Jane^^Dr", "Doe^Jane"),
     ("M\u00c3\u00bcller", "M\u00fcller"), ("M%C3%BCller", "M\u00fcller"), ("M&uuml;ller", "M\u00fcller"),
     ("M?ller", "M\u00fcller"), ("M\ufffdller", "M\u00fcller"),
     ("m??ller-gr?n", "M\u00dcller-Gr\u00dcn"), ("P 1", "P%201"), ("P1_2019", "P1_2020"),
     ("P1_20190305", "P1_20200405"), ("0012-2019-03-05", "0012-2020-04-05"), ("P1_2D", "P1_DBT"), ("P1_2D", "P1_3D"),
     ("P1_RXCCL", "P1_LMLO"), ("P1_links", "P1_rechts"), ("P1_izq", "P1_der"), ("benign/P1", "malignant/P1"),
     ("P1_pre", "P1_post"), ("P1_pre_1", "P1_post_2"), ("Anna Mueller", "Anna Mueller 1961"),
     ("Anna Doe", "Doe, Anna *05.03.1961"), ("P1-1", "P1"), ("P1_L_DM_CC", "P1_R_DM_MLO"), ("P1-re", "P1-li"),
     ("P1 pr\u00e4", "P1 post"), ("20586908_6c613a14b80a8591_MG_R_CC_ANON", "20586934_6C613A14B80A8591_MG_L_ML_ANON"),
     ("\u0141ukasz Nowak", "Lukasz Nowak"), ("S\u00f8rensen", "Sorensen"), ("P2", "P1;P2"), ("13", "12 & 13")],
)  # fmt: skip
def test_who_may_be_one_person_is_refused_with_both_spellings(patients: tuple[str, str]) -> None:
    with pytest.raises(LeakError, match="It is not clear who is one person") as caught:
        check_patients(one_person_each(collection(*patients)))
    told = [one for one in patients if repr(one) in str(caught.value)]
    assert told == (list(patients) if "E+" not in patients[0] else [patients[0]])


@pytest.mark.parametrize(
    "patients",
    [("A1", "B1"), ("1-23", "12-3"), ("1e5", "2e5"), ("D1-0001", "D10-001"), ("1_L", "2_R"), ("Doe^L", "Doe^R"),
     ("1e99", "9" * 400 + "e9"), ("train_1", "test_1"), ("P1", "P10"), ("1.2.840.1", "1.2.840.10"), ("1a", "1b"),
     ("12", "12-345678"), ("AE1", "A2"), ("SITE1-P1", "SITE1-P2"), ("A1-1", "A2-1"), ("10%", "1"),
     ("Bell", "Bill"), ("Who?", "Why?"), ("AO1", "AO2"), ("Dr Doe", "Dr Roe"),
     ("Doe Jane", "Doe John"), ("may", "june"), ("P1_2019", "P2_2019"), ("SITE1-2019", "SITE1-2020"),
     ("101-2001", "101-2002"), ("2019-0001", "2020-0001"), ("101-2019-0007", "101-2020-0007"), ("P1-1", "P1-2"),
     ("Anna Doe 1960", "Anna Doe 1961"), ("Anna", "Anna 1961"), ("BC_new_001", "BC_new_002"), ("PRE12", "POST12"),
     ("benign/1", "malignant/1"), ("benign_case_1", "malignant_case_1"), ("P1;P2", "P3"),
     ("1234567890123456-1", "1234567890123456-2"), ("A-deadbeef12345678", "A-deadbeef12345679")],
)  # fmt: skip
def test_who_cannot_be_mistaken_is_not_doubted(patients: tuple[str, str]) -> None:
    assert not doubts(collection(*patients))


@pytest.mark.parametrize(
    "patients",
    [[f"A-{n:03}" for n in range(1, 1000)], [f"SITE{site}-{n:04}" for site in (1, 2) for n in range(1, 2100)],
     [f"P1-{n}" for n in range(2001, 2040)], [f"P1-{n:04}" for n in (7, 2001, 2002)],
     [f"{year}-{n:04}" for year in (2019, 2020) for n in range(1, 401)],
     [f"D{part}-{n:04}" for part in (1, 2) for n in range(1, 1027)], [f"mdb{n:03}" for n in range(1, 323)],
     [md5(f"{n}".encode()).hexdigest() for n in range(2000)], [f"6c613a14b80a8591-{n}" for n in range(20)]],
    ids=lambda patients: patients[-1],
)  # fmt: skip
def test_serial_numbers_and_the_schemes_of_public_collections_are_not_doubted(patients: list[str]) -> None:
    assert not doubts(collection(*patients))


@pytest.mark.parametrize(
    "nobody",
    [" - ", "nan", "None", "N/A", "Unknown", "NA", "n.a.", "Missing", "not available", "anon", "DeIdentified",
     "undefined", "#REF!", "NaT", "TBD", "redacted", "unbekannt", "UNK", "Not known", "(null)", "-1", "-1.0", "-999"],
)  # fmt: skip
def test_a_mammogram_of_nobody_is_left_out(nobody: str) -> None:
    found = one_person_each(collection("P1", nobody))
    assert [entry.patient_id for entry in found.mammograms] == ["P1"]
    assert [(one.what, one.rule) for one in found.exclusions] == [("m1", "patient-unknown")]


SPELT = [("P_00001", "1"), ("P_00002", "p_00002"), ("003", "3"), ("4", "4.0"), ("P 5", "P5"), ("P6", "P-6")]


def write_women(folder: Path, same_picture: bool = False) -> Path:
    """Write six women with two views each, spelled in two ways, one in train and one in test."""
    rows = []
    for number, (first, second) in enumerate(SPELT):
        for view, patient, split in (("cc", first, "train"), ("mlo", second, "test")):
            name = f"i{number}{view}"
            grain = np.random.default_rng(number if same_picture else [number, view == "cc"])
            picture = cv2.GaussianBlur(grain.normal(0, 1, (96, 64)), (0, 0), 2) * 90 + 128
            picture[:, 44:] = 0
            mask = np.zeros((96, 64), np.uint8)
            mask[30:50, 10:28] = 255
            cv2.imwrite(str(folder / f"{name}.png"), np.clip(picture, 0, 255).astype(np.uint8))
            cv2.imwrite(str(folder / f"m_{name}.png"), mask)
            pathology = ("benign", "malignant")[number % 2]
            rows.append([f"{name}.png", f"m_{name}.png", patient, "left", view, pathology, split])
    columns = ["image", "mask", "patient", "laterality", "view", "pathology", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "own.csv", index=False)
    return folder


def test_women_spelled_in_two_ways_are_six_and_each_is_in_one_split(tmp_path: Path) -> None:
    found = ingest(write_women(tmp_path), tmp_path / "out", TABLE)
    splits = found.mammograms.groupby("patient_id")["split"].agg(["nunique", "size"])
    assert (len(splits), splits["nunique"].max(), splits["size"].min()) == (6, 1, 2)
    told = found.decisions[found.decisions["rule"] == "patient-spelled-differently"]
    assert len(told) == 6
    assert "The tables write one patient as '1' and as 'P_00001'." in set(told["found"])
    with pytest.raises(LeakError, match="6 patients are in more than one split of the collection"):
        ingest(tmp_path, tmp_path / "official", IngestSettings(collection="table", split="official"))


def test_the_audit_lists_them_and_their_pictures_that_are_alike(tmp_path: Path) -> None:
    write_women(tmp_path, same_picture=True)
    found = {one.finding: one for one in audit(tmp_path, AuditSettings(collection="table")).findings}
    assert found["patient-spelled-differently"].count == 6
    assert found["patients-in-several-splits"].count == 6
    twice = found["pictures-twice"].cases
    assert len(twice) >= 6
    assert any("The tables write one patient as '003' and as '3'." in case.words for case in twice)


def test_the_audit_lists_who_is_in_doubt_without_refusing(tmp_path: Path) -> None:
    write_women(tmp_path)
    table = pd.read_csv(tmp_path / "own.csv", dtype=str)
    table.loc[0, "patient"] = "A7"
    table.loc[1, "patient"] = "7"
    table.to_csv(tmp_path / "own.csv", index=False)
    result = audit(tmp_path, AuditSettings(collection="table", tables_only=True))
    found = {one.finding: one for one in result.findings}
    assert [case.what for case in found["patients-in-doubt"].cases] == ["7 and A7"]
    with pytest.raises(LeakError, match="'7' and 'A7'"):
        ingest(tmp_path, tmp_path / "out", TABLE)


def test_a_column_of_cbis_that_spells_another_way_than_the_folder_is_one_person(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case(view="MLO"), Case("P_00002", split="test")])
    table = source / "mass_case_description_train_set.csv"
    lines = table.read_bytes().split(b"\r\n")
    lines[1] = lines[1].replace(b"P_00001,", b"1,", 1)
    table.write_bytes(b"\r\n".join(lines))
    found = read_collection(source, IngestSettings())
    assert {entry.patient_id for entry in found.mammograms} == {"P_00001", "P_00002"}
    assert "patient-spelled-differently" in {one.rule for one in found.decisions}


def test_a_column_of_cbis_that_names_another_patient_than_the_folder_is_not_believed(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002"), Case("P_00003", split="test")])
    table = source / "mass_case_description_train_set.csv"
    table.write_bytes(table.read_bytes().replace(b"P_00002,", b"P_00003,", 1))
    found = read_collection(source, IngestSettings())
    assert {entry.patient_id for entry in found.mammograms} == {"P_00001", "P_00003"}
    told = [one for one in found.exclusions if one.rule == "rows-disagree"]
    assert [one.what for one in told] == ["Mass-Training_P_00002_LEFT_CC"]
    assert "disagree about the patient: P_00002 and P_00003" in told[0].found


@pytest.mark.real_data
def test_no_patient_of_the_real_tables_of_cbis_is_doubted_or_merged() -> None:
    found = read_collection(real_data("cbis_ddsm_csv"), IngestSettings(abnormality="all"))
    assert not doubts(found)
    assert "patient-spelled-differently" not in {one.rule for one in found.decisions}
    assert len({row.patient_id for row in found.listed}) == 1566


def write_films(folder: Path, *rows: tuple[str, str]) -> Path:
    """Write a table of DICOM files: the patient in the table, and the one in the header."""
    table = []
    for number, (patient, in_header) in enumerate(rows):
        grain = cv2.GaussianBlur(np.random.default_rng(number).normal(0, 1, (64, 48)), (0, 0), 2) * 800 + 2000
        grain[:, 32:] = 0
        facts = {"patient_id": in_header, "uid_names": (str(number),), "bits": 12}
        dicom.write_image(folder / f"{number}.dcm", np.clip(grain, 0, 4095).astype(np.uint16), **facts)  # type: ignore[arg-type]
        mask = np.zeros((64, 48), np.uint8)
        mask[20:36, 8:22] = 255
        cv2.imwrite(str(folder / f"m{number}.png"), mask)
        table.append([f"{number}.dcm", f"m{number}.png", patient, ("benign", "malignant")[number % 2]])
    pd.DataFrame(table, columns=["image", "mask", "patient", "pathology"]).to_csv(folder / "own.csv", index=False)
    return folder


def test_one_person_in_the_headers_and_two_in_the_table_is_told_without_her_name(tmp_path: Path) -> None:
    source = write_films(tmp_path, ("A1", "Doe^Jane"), ("B2", "DOE JANE"), ("C3", "Roe"), ("C3", "Roe"))
    found = ingest(source, tmp_path / "out", TABLE)
    told = found.decisions[found.decisions["rule"] == "header-names-one-patient"]
    assert told["what"].tolist() == ["0"]
    assert "give one name to the patients A1 (" in told["found"].iloc[0]
    assert ", B2 (" in told["found"].iloc[0]
    findings = {one.finding: one for one in audit(source, AuditSettings(collection="table")).findings}
    assert findings["header-names-one-patient"].cases[0].words.startswith("The headers (PatientID) give one name to")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"doe" not in everything.lower()


def test_a_name_that_all_headers_have_is_nobodys(tmp_path: Path) -> None:
    found = ingest(write_films(tmp_path, ("A1", "ANON"), ("B2", "anon"), ("C3", "ANON")), tmp_path / "out", TABLE)
    assert "header-names-one-patient" not in set(found.decisions["rule"])


def test_a_file_whose_header_has_the_name_of_another_patient_is_left_out(tmp_path: Path) -> None:
    patients = (
        ("A1", "A1"),
        ("B2", "C3"),
        ("C3", "B2"),
        ("D4", "d 4"),
        ("E5", "E5"),
        ("F6", ""),
        ("G7", "G7"),
        ("H8", "X"),
    )
    source = write_films(tmp_path, *patients)
    found = ingest(source, tmp_path / "out", TABLE)
    told = found.exclusions[found.exclusions["rule"] == "patient-contradicted"]
    assert told[["what", "patient_id", "found"]].to_numpy().tolist() == [
        ["1", "B2", "1.dcm is of B2 by the tables, but its header says that it is of C3."],
        ["2", "C3", "2.dcm is of C3 by the tables, but its header says that it is of B2."],
    ]
    assert found.mammograms["mammogram_id"].tolist() == ["0", "3", "4", "5", "6", "7"]
    assert not {"1_1", "2_1"} & set(found.lesions["lesion_id"])
    assert not list((tmp_path / "out").rglob("[12]_1.png"))
    findings = {one.finding: one for one in audit(source, AuditSettings(collection="table")).findings}
    assert [case.what for case in findings["patient-contradicted"].cases] == ["1", "2"]


def test_cbis_files_that_were_exchanged_are_known_by_their_headers(tmp_path: Path) -> None:
    patients = [f"P_{number:05d}" for number in range(1, 7)]
    cases = [Case(one, split="test" if number > 3 else "train") for number, one in enumerate(patients)]
    source = write_cbis(tmp_path / "cbis", cases)
    first, last = (next(source.rglob(f"{case.name}/*/*/*.dcm")) for case in (cases[0], cases[-1]))
    of_first = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(of_first)
    found = ingest(source, tmp_path / "out", IngestSettings())
    told = found.exclusions[found.exclusions["rule"] == "patient-contradicted"]
    assert told["what"].tolist() == [cases[-1].name, cases[0].name]
    assert told["found"].iloc[0].endswith("is of P_00006 by the tables, but its header says that it is of P_00001.")


def test_headers_that_number_patients_in_another_way_leave_nobody_out(tmp_path: Path) -> None:
    found = ingest(write_films(tmp_path, ("1", "3"), ("2", "1"), ("3", "2"), ("4", "4")), tmp_path / "out", TABLE)
    assert len(found.mammograms) == 4
    told = found.decisions[found.decisions["rule"] == "headers-number-otherwise"]
    assert told["found"].tolist() == [
        "Of 4 headers (PatientID) with a name that the tables have, 3 have that of another patient; the first is 0.dcm "
        "of 1, which has the name of 3."
    ]


@pytest.mark.parametrize("names", [("1", "1", "1"), ("ANON", "", "removed"), ("7", "8", "9")])
def test_names_that_say_nothing_of_the_tables_contradict_nobody(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = ingest(write_films(tmp_path, *zip("123", names, strict=True)), tmp_path / "out", TABLE)
    assert len(found.mammograms) == 3
    assert "headers-number-otherwise" not in set(found.decisions["rule"])
