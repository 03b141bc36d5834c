"""CDD-CESM: entries, number by number, from a small collection in the published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published_layouts import write_cesm
from real_data import real_data

from mammofill.ground.errors import SourceError
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.draw_masks import draw_mask
from mammofill.mammograms.sources.annotations import Box, Circle, Outline
from mammofill.mammograms.sources.cdd_cesm import _place, read_cdd_cesm, recognises

SETTINGS = IngestSettings(collection="cdd-cesm")
POLYGON = {"name": "polygon", "all_points_x": [5, 15, 15], "all_points_y": [10, 10, 20.5]}
CIRCLE = {"name": "circle", "cx": 12, "cy": 34, "r": 5.5}


def test_low_energy_images_are_read_with_the_regions_drawn_on_them(tmp_path: Path) -> None:
    rows = [
        ("P1_L_DM_MLO", "Mass", "Malignant"),
        ("P1_L_CM_MLO", "Mass enhancement", "Malignant"),
        (" P12_R_DM_CC ", "Calcifications$Mass", "Benign"),
        ("P2_L_DM_CC2", "Normal", "Normal"),
    ]
    regions = [
        ("P1_L_DM_MLO.jpg", POLYGON),
        ("P1_L_DM_MLO.jpg", CIRCLE),
        ("P1_L_CM_MLO.jpg", CIRCLE),
        ("P12_R_DM_CC .jpg", CIRCLE),
        ("P2_L_DM_CC2.jpg", {}),
    ]
    images = ["P1_L_DM_MLO.jpg", "P1_L_CM_MLO.jpg", "P12_R_DM_CC .jpg", "P2_L_DM_CC2.jpg"]
    found = read_cdd_cesm(write_cesm(tmp_path, rows, regions, images), SETTINGS)
    twelve, one, two = found.mammograms
    assert found.exclusions == ()
    assert (one.mammogram_id, one.patient_id, one.laterality, one.view) == ("P1_L_DM_MLO", "P1", "left", "mlo")
    assert (one.density, one.spacing_mm, one.official_split, one.all_lesions_located) == ("C", None, None, True)
    assert [(lesion.lesion_id, lesion.pathology, lesion.abnormality, lesion.place) for lesion in one.lesions] == [
        ("P1_L_DM_MLO_1", "malignant", "mass", Outline((((10.0, 5.0), (10.0, 15.0), (20.5, 15.0)),))),
        ("P1_L_DM_MLO_2", "malignant", "mass", Circle(row=34, column=12, radius=5.5)),
    ]
    assert one.lesions[0].attributes == {"findings": "Mass", "birads": "4$2"}
    assert (twelve.mammogram_id, twelve.patient_id, twelve.laterality) == ("P12_R_DM_CC", "P12", "right")
    assert twelve.image[0].name == "P12_R_DM_CC .jpg"
    assert [(lesion.pathology, lesion.abnormality) for lesion in twelve.lesions] == [("benign", "other")]
    assert (two.view, two.lesions, two.all_lesions_located) == ("cc", (), True)
    assert [(row.mammogram_id, row.pathology, row.abnormality, row.density) for row in found.listed] == [
        ("P1_L_DM_MLO", "malignant", "mass", "C"),
        ("P12_R_DM_CC", "benign", "other", "C"),
        ("P2_L_DM_CC2", "normal", None, "C"),
    ]
    assert [(decision.rule, decision.found) for decision in found.decisions] == [
        (
            "subtracted",
            "1 row is of subtracted images, which are no mammograms, the first Radiology-manual-annotations.csv row 3.",
        )
    ]


def test_every_fault_is_a_row(tmp_path: Path) -> None:
    rows = [
        ("P1_L_DM_CC", "Mass", "Malignant"),  # file missing
        ("P2_L_DM_CC", "Mass", "Malignant"),  # nothing drawn
        ("P3_L_DM_CC", "Mass", "Benign$Malignant"),
        ("P4_L_DM_CC", "Normal", "Normal"),  # yet something is drawn
        ("P5_L_DM_CC", "Mass", "Benign"),  # one region of three is broken, one repeated
        ("P6_L_DM_CC", "Mass", "Benign"),
        ("P6_L_DM_CC", "Mass", "Malignant"),
        ("total", "", ""),
    ]
    regions = [
        ("P3_L_DM_CC.jpg", POLYGON), ("P4_L_DM_CC.jpg", POLYGON), ("P5_L_DM_CC.jpg", POLYGON),
        ("P5_L_DM_CC.jpg", POLYGON), ("P5_L_DM_CC.jpg", {"name": "circle", "cx": "here", "cy": 1, "r": 2}),
        ("P6_L_DM_CC.jpg", POLYGON),
    ]  # fmt: skip
    images = [f"P{number}_L_DM_CC.jpg" for number in range(2, 7)]
    found = read_cdd_cesm(write_cesm(tmp_path, rows, regions, images), SETTINGS)
    table, drawn = "Radiology-manual-annotations.csv row", "Radiology_hand_drawn_segmentations_v2.csv row"
    assert {exclusion.what: exclusion.rule for exclusion in found.exclusions} == {
        f"{table} 2": "file-missing", "P2_L_DM_CC": "lesion-without-place", "P3_L_DM_CC": "lesion-without-pathology",
        "P4_L_DM_CC": "lesion-without-pathology", f"{drawn} 5": "row-repeated", f"{drawn} 6": "lesion-without-place",
        "P6_L_DM_CC": "rows-disagree",
    }  # fmt: skip
    stories = " ".join(exclusion.found for exclusion in found.exclusions)
    for words in (
        "but no P1_L_DM_CC.jpg is there",
        "calls P2_L_DM_CC malignant, but no region is drawn on it",
        "calls P3_L_DM_CC 'Benign$Malignant'; known are normal, benign, malignant",
        "calls P4_L_DM_CC 'Normal'; yet 1 regions are drawn on it",
        "gives a region of P5_L_DM_CC that cannot be drawn: {",
        "disagree about Pathology Classification/ Follow up",
    ):
        assert words in stories
    assert [(entry.patient_id, len(entry.lesions), entry.all_lesions_located) for entry in found.mammograms] == [
        ("P2", 0, False), ("P3", 0, False), ("P4", 0, False), ("P5", 1, False),
    ]  # fmt: skip
    assert [decision.rule for decision in found.decisions] == ["name-unknown"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name":"point","cx":3,"cy":4}', Outline((((4.0, 3.0),),))),
        ('{"name":"rect","x":3,"y":4,"width":5,"height":6}', Box(4, 3, 6, 5)),
        ('{"name":"polyline","all_points_x":[1,2],"all_points_y":[3,4]}', Outline((((3.0, 1.0), (4.0, 2.0)),))),
        ('{"name":"polygon","all_points_x":[],"all_points_y":[]}', None),
        ('{"name":"polygon","all_points_x":[1,2],"all_points_y":[3]}', None),
        ('{"name":"circle","cx":3,"cy":4,"r":NaN}', None),
        ('{"name":"star"}', None),
        ('{"all_points_x":[1]}', None),
        ("[]", None),
        ("drawn by hand", None),
    ],
)
def test_shapes_of_the_annotator(text: str, expected: object) -> None:
    assert _place(text) == expected


def test_an_ellipse_is_turned_as_on_the_screen() -> None:
    upright = _place('{"name":"ellipse","cx":30,"cy":20,"rx":15.3,"ry":5.3}')
    turned = _place(f'{{"name":"ellipse","cx":30,"cy":20,"rx":15.3,"ry":5.3,"theta":{np.pi / 2}}}')
    assert isinstance(upright, Outline)
    assert isinstance(turned, Outline)
    flat = draw_mask(upright, (60, 60), (1, 1))
    rows, columns = np.nonzero(flat)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 25, 15, 45)
    assert flat.sum() == pytest.approx(np.pi * 15.3 * 5.3, rel=0.05)
    assert np.abs(draw_mask(turned, (60, 60), (1, 1)).sum() - flat.sum()) < 5
    rows, columns = np.nonzero(draw_mask(turned, (60, 60), (1, 1)))
    assert np.ptp(rows) > 2 * np.ptp(columns)
    slanted = _place('{"name":"ellipse","cx":30,"cy":30,"rx":20,"ry":2,"theta":0.785}')
    assert isinstance(slanted, Outline)
    mask = draw_mask(slanted, (60, 60), (1, 1))
    assert mask[40, 40]  # clockwise: down and to the right
    assert not mask[20, 40]


def test_masks_are_read_where_nothing_is_drawn(tmp_path: Path) -> None:
    name = "P102_R_DM_CC.jpg"
    source = write_cesm(tmp_path, [("P102_R_DM_CC", "Mass", "Malignant")], None, [name], [name])
    (entry,) = read_cdd_cesm(source, SETTINGS).mammograms
    (lesion,) = entry.lesions
    assert lesion.place == (source / "masks" / name,)
    assert len(entry.image) == 1


def test_masks_without_a_table_are_refused(tmp_path: Path) -> None:
    source = write_cesm(tmp_path, [], None, ["P102_R_DM_CC.jpg"], ["P102_R_DM_CC.jpg"])
    with pytest.raises(SourceError, match="nothing says whether they are benign or malignant. If you know it, write"):
        read_cdd_cesm(source, SETTINGS)


def test_the_spreadsheet_is_to_be_exported(tmp_path: Path) -> None:
    (tmp_path / "Radiology_manual_annotations.xlsx").write_bytes(b"PK")
    assert recognises(tmp_path)
    with pytest.raises(SourceError, match="annotations.xlsx is a spreadsheet. Open it, save its first sheet as CSV"):
        read_cdd_cesm(tmp_path, SETTINGS)


def test_the_table_alone_is_listed(tmp_path: Path) -> None:
    source = write_cesm(tmp_path, [("P1_L_DM_MLO", "", "Benign")])
    found = read_cdd_cesm(source / "Radiology-manual-annotations.csv", SETTINGS)
    assert (found.mammograms, found.exclusions[0].rule) == ((), "file-missing")
    assert found.listed[0].missing == ("Findings",)


@pytest.mark.real_data
def test_the_real_reduced_copy_needs_a_table(tmp_path: Path) -> None:
    copy = real_data("cddcesm_dm")
    with pytest.raises(SourceError, match="The masks beside the images say where lesions are"):
        read_cdd_cesm(copy, SETTINGS)
    for folder in ("images", "masks"):
        (tmp_path / folder).symlink_to(copy / folder)
    names = sorted(path.stem for path in (copy / "images").iterdir())
    write_cesm(tmp_path, [(name, "Mass", "Malignant") for name in names], None)
    found = read_cdd_cesm(tmp_path, SETTINGS)
    assert (found.exclusions, found.decisions) == ((), ())
    assert len(found.mammograms) == 249
    assert len({entry.patient_id for entry in found.mammograms}) == 135
    assert all(len(entry.lesions) == len(entry.image) == 1 for entry in found.mammograms)
