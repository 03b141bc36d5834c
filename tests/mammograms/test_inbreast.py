"""INbreast: entries, number by number, from a small collection in the published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published_layouts import write_inbreast

from mammofill.dicom import write_image
from mammofill.ground.errors import SourceError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.draw_masks import draw_mask
from mammofill.mammograms.picture_checks import why_resized
from mammofill.mammograms.sources.annotations import Collection, Outline
from mammofill.mammograms.sources.inbreast import PATHOLOGY_OF_BIRADS, read_inbreast, recognises

SETTINGS = IngestSettings(collection="inbreast")
ANN, BEA = "6c613a14b80a8591", "036aff49b8ac84f0"
MASS = ("Mass", [(10.5, 20.25), (18, 20.25), (18, 30), (10.5, 30)])


def rules(found: Collection) -> dict[str, str]:
    return {exclusion.what: exclusion.rule for exclusion in found.exclusions}


def test_a_lesion_is_its_outline_with_the_class_of_its_image(tmp_path: Path) -> None:
    source = write_inbreast(
        tmp_path, ["L;MLO;20586908;3;4a", "R;CC;20586934;2;1"], {"20586908": ANN, "20586934": BEA}, {"20586908": [MASS]}
    )
    found = read_inbreast(source, SETTINGS)
    lesioned, normal = found.mammograms
    assert (found.exclusions, found.decisions) == ((), ())
    assert (lesioned.mammogram_id, lesioned.patient_id) == ("20586908", ANN)
    assert (lesioned.laterality, lesioned.view, lesioned.density) == ("left", "mlo", "3")
    assert (lesioned.spacing_mm, lesioned.official_split, lesioned.all_lesions_located) == (0.07, None, True)
    assert [path.name for path in lesioned.image] == [f"20586908_{ANN}_MG_L_ML_ANON.dcm"]
    (lesion,) = lesioned.lesions
    assert (lesion.lesion_id, lesion.pathology, lesion.abnormality) == ("20586908_1", "malignant", "mass")
    assert lesion.place == Outline((((20.25, 10.5), (20.25, 18.0), (30.0, 18.0), (30.0, 10.5)),))  # (row, column)
    assert lesion.attributes == {"name": "Mass", "outlines": "1", "birads": "4a"}
    assert (normal.lesions, normal.all_lesions_located, normal.patient_id) == ((), True, BEA)
    assert draw_mask(Outline(lesion.place.contours), (60, 40), (1, 1)).sum() == 9 * 7


@pytest.mark.parametrize(("birads", "pathology"), [*PATHOLOGY_OF_BIRADS.items(), ("4A", "malignant"), ("0", None)])
def test_birads_decides_the_class(tmp_path: Path, birads: str, pathology: str | None) -> None:
    found = read_inbreast(write_inbreast(tmp_path, [f"L;CC;1;2;{birads}"], {"1": ANN}, {"1": [MASS]}), SETTINGS)
    assert found.listed[0].pathology == pathology
    if pathology in ("benign", "malignant"):
        assert [lesion.pathology for lesion in found.mammograms[0].lesions] == [pathology]
    else:
        assert rules(found) == {"1": "lesion-without-pathology"}
        assert not found.mammograms[0].all_lesions_located


def test_calcifications_are_lesions_in_groups(tmp_path: Path) -> None:
    square = [(0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0)]
    rois = [
        ("Calcification", [(500, 500)]),
        ("Cluster", square),
        ("Calcification", [(50, 50), (52, 50), (51, 52)]),  # in the cluster
        ("Calcification", [(571, 500)]),  # 71 px = 4.97 mm from the first
        ("Calcifications", [(642.5, 500)]),  # 71.5 px = 5.005 mm from the one before
        ("Espiculated Region", square),
        ("Assymetry", square),
        (None, [(7, 8)]),
        ("Point 1", [(9, 9)]),
    ]
    (entry,) = read_inbreast(write_inbreast(tmp_path, ["L;CC;1;2;2"], {"1": ANN}, {"1": rois}), SETTINGS).mammograms
    assert [
        (lesion.attributes["name"], lesion.abnormality, lesion.attributes["outlines"]) for lesion in entry.lesions
    ] == [
        ("Cluster", "calcification", "2"),
        ("Espiculated Region", "mass", "1"),
        ("Assymetry", "other", "1"),
        ("", "other", "1"),
        ("Point 1", "other", "1"),
        ("Calcification", "calcification", "2"),
        ("Calcifications", "calcification", "1"),
    ]
    group, alone = entry.lesions[-2:]
    assert group.place == Outline((((500.0, 500.0),), ((500.0, 571.0),)))
    assert alone.place == Outline((((500.0, 642.5),),))
    assert [lesion.lesion_id for lesion in entry.lesions] == [f"1_{count}" for count in range(1, 8)]


def test_every_fault_is_a_row(tmp_path: Path) -> None:
    rows = [
        "L;CC;1;2;5",  # its file is not there
        "L;CC;2;2;5",  # no outlines
        "L;CC;3;2;5",  # one outline without points, one with text
        "R;FB;4;          ;2",  # an odd view, and no density
        "L;CC;5;2;5",  # broken outlines
        "L;CC;6;2;2",
        "L;CC;6;2;2",  # the same again
        "L;CC;7;2;2",
        "L;CC;7;2;5",  # contradicts
    ]
    rois = {
        "3": [MASS, ("Mass", []), ("Mass", [("here", 3)])],
        "4": [MASS], "6": [MASS], "7": [MASS],
    }  # fmt: skip
    source = write_inbreast(tmp_path, rows, {str(number): ANN for number in range(2, 8)}, rois)
    release = source / "INbreast Release 1.0"
    (release / "AllXML" / "5.xml").write_text("<plist>not really")
    (release / "AllDICOMs" / f"99_{BEA}_MG_L_CC_ANON.dcm").write_bytes(b"")
    found = read_inbreast(source, SETTINGS)
    assert rules(found) == {
        "INbreast.csv row 2": "file-missing", "2": "lesion-without-place", "3": "lesion-without-place",
        "5": "outline-unreadable", "INbreast.csv row 8": "row-repeated", "7": "rows-disagree",
    }  # fmt: skip
    stories = " ".join(exclusion.found for exclusion in found.exclusions)
    for words in (
        "names the image 1, but no 1_..._ANON.dcm is there",
        "has Bi-Rads 5, but no outline in 2.xml",
        "outline 2 (Mass) has no points in 3.xml",
        "outline 3 (Mass) has the point '(here, 3)' in 3.xml",
        "5.xml cannot be read as OsiriX' outlines",
        "row 8 repeats INbreast.csv row 7",
        "all describe 7, and disagree about Bi-Rads",
    ):
        assert words in stories
    assert {entry.mammogram_id: entry.all_lesions_located for entry in found.mammograms} == {
        "2": False, "3": False, "4": True, "5": False, "6": True,
    }  # fmt: skip
    odd = found.mammograms[2]
    assert (odd.view, odd.density, len(odd.lesions)) == (None, None, 1)
    assert [(decision.rule, decision.what) for decision in found.decisions] == [("files-of-no-row", "99")]
    listed = {row.row: row for row in found.listed}
    assert len(listed) == 9
    assert (listed["INbreast.csv row 2"].patient_id, listed["INbreast.csv row 2"].missing) == ("", ("Patient ID",))
    assert listed["INbreast.csv row 5"].missing == ("ACR",)


def test_the_table_alone_is_listed(tmp_path: Path) -> None:
    source = write_inbreast(tmp_path, ["L;CC;1;2;5", "R;CC;2;3;1"], {}, {})
    found = read_inbreast(source / "INbreast Release 1.0" / "INbreast.csv", SETTINGS)
    assert found.mammograms == ()
    assert [(row.mammogram_id, row.laterality, row.pathology, row.density) for row in found.listed] == [
        ("1", "left", "malignant", "2"), ("2", "right", "normal", "3"),
    ]  # fmt: skip


def test_a_spreadsheet_is_to_be_exported(tmp_path: Path) -> None:
    (tmp_path / "INbreast.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    assert recognises(tmp_path)
    with pytest.raises(SourceError, match="INbreast.xls is a spreadsheet. Open it, save its first sheet as CSV"):
        read_inbreast(tmp_path, SETTINGS)
    (tmp_path / "INbreast.xls").unlink()
    assert not recognises(tmp_path)
    with pytest.raises(SourceError, match="lacks INbreast.csv: no .csv file below it has the columns File Name"):
        read_inbreast(tmp_path, SETTINGS)


def test_points_far_from_each_other_stay_apart_and_order_does_not_matter(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centres = [(200.0, 200.0), (900.0, 300.0), (400.0, 1500.0)]
    points = [(x + random.uniform(-20, 20), y + random.uniform(-20, 20)) for x, y in centres for _ in range(6)]
    for name, order in (("a", points), ("b", points[::-1])):
        rois = [("Calcification", [point]) for point in order]
        source = write_inbreast(tmp_path / name, ["L;CC;1;2;2"], {"1": ANN}, {"1": rois})
        (entry,) = read_inbreast(source, SETTINGS).mammograms
        assert [lesion.attributes["outlines"] for lesion in entry.lesions] == ["6", "6", "6"]


def test_a_list_of_properties_over_which_the_library_stumbles_leaves_out_its_outlines_alone(tmp_path: Path) -> None:
    """Its own reader raises an IndexError over a key outside of any dictionary."""
    (tmp_path / "1.xml").write_text('<?xml version="1.0"?><plist version="1.0"><key>Images</key></plist>')
    (tmp_path / "INbreast.csv").write_text("File Name;Laterality;View;ACR;Bi-Rads\n1;L;CC;2;5\n")
    write_image(tmp_path / "1_abc_MG_L_CC_ANON.dcm", np.zeros((64, 48), np.uint16), patient_id="p", uid_names=("1",))
    found = read_inbreast(tmp_path, IngestSettings(collection="inbreast", abnormality="all"))
    assert [one.rule for one in found.exclusions] == ["outline-unreadable"]
    assert [entry.all_lesions_located for entry in found.mammograms] == [False]


def test_calcifications_that_cannot_be_grouped_leave_out_the_outlines_of_their_image_alone(tmp_path: Path) -> None:
    far = [("Calcification", [(5, 10)]), ("Calcification", [("1e200", 10)])]
    source = write_inbreast(tmp_path, ["L;CC;1;2;5", "R;CC;2;2;5"], {"1": ANN, "2": BEA}, {"1": far, "2": [MASS]})
    found = read_inbreast(source, SETTINGS)
    assert [(len(entry.lesions), entry.all_lesions_located) for entry in found.mammograms] == [(0, False), (1, True)]
    assert rules(found) == {"1": "outline-unreadable"}
    assert "AllXML/1.xml cannot be read as OsiriX' outlines: ValueError(" in found.exclusions[0].found


def test_copies_of_an_image_whose_names_give_two_patients_are_nobodys(tmp_path: Path) -> None:
    source = write_inbreast(tmp_path, ["L;CC;1;2;5", "R;CC;2;2;5"], {"1": ANN, "2": BEA}, {"1": [MASS], "2": [MASS]})
    files = source / "INbreast Release 1.0" / "AllDICOMs"
    first, copy = next(files.glob("1_*.dcm")), files / f"1_{BEA}_MG_L_CC_ANON.dcm"
    copy.write_bytes(first.read_bytes())
    found = read_inbreast(source, SETTINGS)
    assert [entry.mammogram_id for entry in found.mammograms] == ["2"]
    assert rules(found) == {"1": "patient-contradicted"}
    assert f"{copy} and {first} say that the image 1 is of different patients." in found.exclusions[0].found


def test_two_files_of_outlines_of_one_image_that_differ_leave_out_its_lesions(tmp_path: Path) -> None:
    rois = {"1": [MASS, MASS], "2": [MASS]}
    source = write_inbreast(tmp_path, ["L;CC;1;2;5", "R;CC;2;2;5"], {"1": ANN, "2": BEA}, rois)
    release = source / "INbreast Release 1.0"
    older = release / "before correction"
    older.mkdir()
    (older / "1.xml").write_bytes((release / "AllXML" / "2.xml").read_bytes())
    (older / "2.xml").write_bytes((release / "AllXML" / "2.xml").read_bytes())
    found = read_inbreast(source, SETTINGS)
    assert [(len(entry.lesions), entry.all_lesions_located) for entry in found.mammograms] == [(0, False), (1, True)]
    assert rules(found) == {"1": "outlines-differ"}
    first, second = release / "AllXML" / "1.xml", older / "1.xml"
    assert found.exclusions[0].found == f"INbreast.csv row 2: {first} and {second} differ. Remove all but one."


def test_an_image_of_a_size_that_the_release_does_not_have_is_told_where_it_has_outlines(tmp_path: Path) -> None:
    rows = ["L;CC;1;2;5", "R;CC;2;2;1"]
    source = write_inbreast(tmp_path / "a", rows, {"1": ANN, "2": BEA}, {"1": [MASS]})
    found = ingest(source, tmp_path / "out", SETTINGS).decisions
    told = found[found["rule"] == "size-unusual"]
    assert told["what"].tolist() == ["1"]
    assert (
        told["found"]
        .iloc[0]
        .endswith("_MG_L_CC_ANON.dcm has 60x40 pixels, but the collection's have 4084x3328 or 3328x2560.")
    )
    assert told["done"].iloc[0].startswith("Kept: if it is a resized, cropped or padded copy, its outlines lie")
    (entry, _) = read_inbreast(source, SETTINGS).mammograms
    assert why_resized((3328, 2560), "1.dcm", entry) is None
