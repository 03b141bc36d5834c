"""Pictures that show nothing, may be inverted, leave their range unused, or are there twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from collections_on_disk import ellipse, film
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from mammofill import dicom
from mammofill.audit import AuditSettings, audit
from mammofill.mammograms import IngestSettings, MammogramSet, ingest

TABLE = IngestSettings(collection="table", height_px=None, split="patients")
LESION = ellipse((120, 40, 40, 30))


def made(folder: Path, pictures: dict[str, np.ndarray], *rows: str, mask: np.ndarray = LESION) -> MammogramSet:
    """Ingest pictures with a lesion each; every row names picture, mask, patient and pathology."""
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), picture)
        cv2.imwrite(str(folder / f"m{name}.png"), np.roll(mask, len(name), axis=0).astype(np.uint8) * 255)
    rows = rows or tuple(f"{name}.png,m{name}.png,p-{name},benign" for name in pictures)
    (folder / "own.csv").write_text("\n".join(["image,mask,patient,pathology", *rows]) + "\n")
    return ingest(folder, folder / "out", TABLE)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_picture_of_one_value_is_left_out(tmp_path: Path, value: int) -> None:
    found = made(tmp_path, {"a": film(), "bb": np.full((300, 180), value, np.uint8)})
    assert found.mammograms["mammogram_id"].tolist() == ["a"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["bb", "picture-blank"]]
    assert found.exclusions["found"][0] == "bb.png has one value in all of its pixels: there is nothing to be seen."


def test_a_picture_that_may_be_inverted_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, {"a": film(), "bb": 65535 - film(1)})
    told = found.decisions[found.decisions["rule"] == "polarity-doubtful"]
    assert told["what"].tolist() == ["bb"]
    assert "as if inverted" in told["found"].iloc[0]
    assert len(found.mammograms) == 2


def test_images_that_leave_their_range_unused_are_told(tmp_path: Path) -> None:
    dark = {"a": film() >> 3, "bb": film(1) >> 3}
    found = made(tmp_path, dark)
    told = found.decisions[found.decisions["rule"] == "range-unused"]
    assert told["found"].tolist() == [
        "None of the 2 images of 16 bits has more than a hundredth of its values above 4095: they use 1 part in 16 of "
        "their range, and are dark to a network."
    ]
    assert "column bits" in told["done"].iloc[0]
    findings = audit(tmp_path, AuditSettings(collection="table")).found
    (finding,) = [one for one in findings if one.finding == "range-unused"]
    assert [case.what for case in finding.cases] == ["a", "bb"]


def test_one_picture_twice_with_other_lesions_gives_no_normal_patches(tmp_path: Path) -> None:
    same = film()
    found = made(tmp_path, {"a": same, "bb": same, "c": film(2)}, "a.png,ma.png,P1,benign", "bb.png,mbb.png,P1,benign",
                 "c.png,,P2,normal")  # fmt: skip
    assert found.mammograms["all_lesions_located"].tolist() == [False, False, True]
    told = found.decisions[found.decisions["rule"] == "image-twice"]
    assert told["found"].tolist() == [
        "a (a.png) and bb (bb.png) are the same file, and other lesions are marked in each."
    ]


def test_copies_of_a_file_with_the_same_lesions_are_kept_once(tmp_path: Path) -> None:
    made(tmp_path, {"a": film(), "c": film(2)})
    for folder, linked in (("d", False), ("e", True)):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "ma.png"):
            copy = tmp_path / folder / name
            copy.symlink_to(tmp_path / name) if linked else copy.write_bytes((tmp_path / name).read_bytes())
    rows = ["a.png,ma.png,P1,{}", "d/a.png,d/ma.png,P1,{}", "e/a.png,e/ma.png,P1,{}", "c.png,mc.png,P2,benign"]
    for pathologies, lesions, located in (("bbb", ["a_1", "c_1"], [True, True]), ("bmb", ["c_1"], [False, True])):
        told = [row.format(word) for row, word in zip(rows, [*pathologies, ""], strict=True)]
        (tmp_path / "own.csv").write_text("\n".join(["image,mask,patient,pathology", *told]))
        found = ingest(tmp_path, tmp_path / f"out-{pathologies}", TABLE)
        assert found.mammograms["mammogram_id"].tolist() == ["a", "c"]
        assert found.mammograms["all_lesions_located"].tolist() == located
        assert found.lesions["lesion_id"].tolist() == lesions
        excluded = dict(zip(found.exclusions["what"], found.exclusions["found"], strict=True))
        assert excluded["d-a"] == "a.png and d/a.png are the same file. The first is kept."
        assert set(excluded) == {"d-a", "e-a"} | ({"a_1"} if "m" in pathologies else set())
    assert excluded["a_1"] == (
        "a_1 and d-a_1 and e-a_1 have the same mask on copies of one file, and are called benign and malignant."
    )


def test_a_copy_with_a_lesion_of_unknown_place_keeps_normal_patches_away(tmp_path: Path) -> None:
    same = film()
    rows = "a.png,,P1,malignant", "bb.png,,P1,normal", "c.png,mc.png,P2,benign", "dd.png,,P3,normal"
    found = made(tmp_path, {"a": same, "bb": same, "c": film(2), "dd": same}, *rows)
    assert found.mammograms["mammogram_id"].tolist() == ["a", "c", "dd"]
    assert found.mammograms["all_lesions_located"].tolist() == [False, True, False]
    told = found.decisions[found.decisions["rule"] == "image-twice"]
    assert told["found"].tolist() == [
        "a (a.png) and dd (dd.png) are the same file, and not all lesions of one of them are known by place."
    ]


@pytest.mark.parametrize("keep_images", [True, False])
def test_two_files_of_one_patient_with_the_same_pixels_are_one_picture(tmp_path: Path, keep_images: bool) -> None:
    for name in ("a", "b"):
        dicom.write_image(tmp_path / f"{name}.dcm", film() >> 4, patient_id="P1", uid_names=(name,), bits=12)
    compressed = pydicom.dcmread(tmp_path / "b.dcm")  # which is kept in any case
    compressed.compress(JPEG2000Lossless)
    compressed.save_as(tmp_path / "b.dcm")
    cv2.imwrite(str(tmp_path / "m.png"), LESION.astype(np.uint8) * 255)
    rows = ["image,mask,patient,pathology", "a.dcm,m.png,P1,malignant", "b.dcm,,P1,normal"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    found = ingest(tmp_path, tmp_path / "out", replace(TABLE, keep_images=keep_images))
    assert found.mammograms["all_lesions_located"].tolist() == [False, False]
    told = found.decisions[found.decisions["rule"] == "image-twice"]
    assert told["found"].tolist() == [
        "a (a.dcm) and b (b.dcm) have the same pixels, and other lesions are marked in each."
    ]


def test_a_mask_in_colours_or_with_transparency_is_refused_for_what_it_is(tmp_path: Path) -> None:
    marked = LESION.astype(np.uint8) * 255
    made(tmp_path, {"a": film(), "bb": film(1), "ccc": film(2)})
    Image.fromarray(np.dstack([marked] * 3 + [marked])).save(tmp_path / "mbb.png")
    red = Image.fromarray((marked > 0).astype(np.uint8), "P")
    red.putpalette([0, 0, 0, 128, 0, 0])
    red.save(tmp_path / "mccc.png")
    found = ingest(tmp_path, tmp_path / "again", TABLE)
    told = dict(zip(found.exclusions["what"], found.exclusions["found"], strict=True))
    assert told["bb_1"].startswith("mbb.png is partly transparent; save the mask as a gray picture")
    assert told["ccc_1"].startswith("mccc.png is a colour picture (mode P); a mask is black and white.")


def test_a_missing_pathology_is_not_to_be_explained(tmp_path: Path) -> None:
    found = made(tmp_path, {"a": film(), "bb": film(1)}, "a.png,ma.png,P1,benign", "bb.png,mbb.png,P2,nan")
    assert found.exclusions["found"].tolist() == [
        "own.csv row 3 gives the pathology 'nan' for bb_1, which says that nobody knows it."
    ]


def test_a_picture_whose_rows_and_columns_are_exchanged_or_that_has_hardly_a_row_is_left_out(tmp_path: Path) -> None:
    def write(name: str, picture: np.ndarray) -> None:
        head = f"P5 {picture.shape[1]} {picture.shape[0]} 65535\n".encode()
        (tmp_path / name).write_bytes(head + picture.astype(">u2").tobytes())

    write("a.pgm", film())
    write("b.pgm", film(1).reshape(180, 300))
    write("c.pgm", film(2)[:, :7])
    cv2.imwrite(str(tmp_path / "m.png"), LESION.astype(np.uint8) * 255)
    rows = ["image,mask,patient,pathology", "a.pgm,m.png,1,benign", "b.pgm,,2,normal", "c.pgm,,3,normal"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    found = ingest(tmp_path, tmp_path / "out", TABLE)
    assert found.mammograms["mammogram_id"].tolist() == ["a"]
    assert found.exclusions[["rule", "found"]].to_numpy().tolist() == [
        ["rows-for-columns", "b.pgm says 180x300 pixels, but its rows fit each other only if it has 300x180: rows and "
         "columns are exchanged in its header."],
        ["picture-tiny", "c.pgm has 300x7 pixels: in fewer than 8 rows or columns nothing can be seen."],
    ]  # fmt: skip


def test_a_picture_with_its_bytes_exchanged_is_left_out(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(film(), (0, 0), 2)
    in_upper_byte = smooth >> 8 << 8
    found = made(tmp_path, {"a": smooth, "bb": smooth.byteswap(), "ccc": in_upper_byte, "dddd": in_upper_byte >> 8})
    assert found.mammograms["mammogram_id"].tolist() == ["a", "ccc", "dddd"]
    assert found.exclusions[["what", "rule", "found"]].to_numpy().tolist() == [
        ["bb", "bytes-exchanged", "bb.png is noise as it stands, and a picture with the two bytes of each value "
         "exchanged: its byte order is wrong. Write it again: PGM and PNG have the high byte first."]
    ]  # fmt: skip


def test_a_mask_that_is_listed_as_an_image_is_left_out(tmp_path: Path) -> None:
    marked = LESION.astype(np.uint8) * 255
    cv2.imwrite(str(tmp_path / "soft.jpg"), cv2.GaussianBlur(marked, (5, 5), 0), [cv2.IMWRITE_JPEG_QUALITY, 70])
    dark = np.where(film() > 12000, film() // 40, 0).astype(np.uint16)  # but for a label
    dark[:20, -40:] = 65535
    rows = "a.png,ma.png,1,benign", "ma.png,,2,normal", "soft.jpg,,3,normal", "dark.png,,4,normal"
    found = made(tmp_path, {"a": film(), "dark": dark}, *rows)
    assert found.mammograms["mammogram_id"].tolist() == ["a", "dark"]
    assert found.exclusions[["what", "rule", "found"]].to_numpy().tolist() == [
        [
            name,
            "picture-is-mask",
            f"{file} is black and white, with no grays between, as a mask is: it is no mammogram.",
        ]
        for name, file in (("ma", "ma.png"), ("soft", "soft.jpg"))
    ]


def test_a_header_that_contradicts_its_table_or_is_of_no_mammogram_is_told(tmp_path: Path) -> None:
    for name, side, view in (("a", "L", "MLO"), ("b", "L", "CC")):
        dicom.write_image(
            tmp_path / f"{name}.dcm",
            film() >> 4,
            patient_id=name,
            uid_names=(name,),
            bits=12,
            laterality=side,
            view=view,
        )
    dataset = pydicom.dcmread(tmp_path / "b.dcm")
    dataset.Modality = "US"
    dataset.save_as(tmp_path / "b.dcm")
    cv2.imwrite(str(tmp_path / "m.png"), LESION.astype(np.uint8) * 255)
    rows = ["image,mask,patient,pathology,laterality,view", "a.dcm,m.png,1,benign,R,CC", "b.dcm,,2,normal,L,CC"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    found = ingest(tmp_path, tmp_path / "out", TABLE).decisions.set_index("rule")["found"]
    assert found["file-contradicts-table"] == (
        "The header of a.dcm says left, where the table says right and mlo, where the table says cc."
    )
    assert found["no-mammogram"] == "b.dcm says that it is of the modality US; mammograms are MG."


def test_a_header_of_more_than_a_plain_mammogram_is_told_and_one_for_quality_control_left_out(tmp_path: Path) -> None:
    modifier, view = pydicom.Dataset(), pydicom.Dataset()
    modifier.CodeValue, modifier.CodeMeaning = "399055006", "Spot compression"
    view.ViewModifierCodeSequence = [modifier]
    told = {
        "EstimatedRadiographicMagnificationFactor": ("1.8", "view-magnified", "it is magnified 1.8 times"),
        "ViewCodeSequence": (
            [view],
            "view-modified",
            "its view is modified (ViewModifierCodeSequence, (0054,0222)): Spot",
        ),
        "ImageType": (
            ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D", "", "50000"],
            "computed-from-slices",
            "it was computed from the slices of a tomosynthesis (ImageType, (0008,0008), GENERATED_2D).",
        ),
        "PartialView": ("YES", "view-modified", "it shows only a part of the breast (PartialView, (0028,1350))."),
        "BreastImplantPresent": ("YES", "implant-present", "it shows a breast implant"),
        "BurnedInAnnotation": ("YES", "words-in-pixels", "it has words in its pixels"),
        "ImageLaterality": ("B", "both-breasts", "it is of both breasts"),
        "BodyPartExamined": ("CHEST", "other-body-part", "it is of the CHEST"),
        "QualityControlImage": ("YES", "quality-control", "it is an image for quality control, of no patient"),
    }
    usual = {
        "EstimatedRadiographicMagnificationFactor": "1.07", "BodyPartExamined": "BREAST", "QualityControlImage": "NO",
        "BurnedInAnnotation": "NO", "BreastImplantPresent": "NO", "ImageType": ["DERIVED", "SECONDARY"],
        "PartialView": "NO",
    }  # fmt: skip
    rows = ["image,mask,patient,pathology"]
    for number, (name, value) in enumerate([("", ""), *((name, value) for name, (value, *_) in told.items())]):
        path = tmp_path / f"{number}.dcm"
        dicom.write_image(path, film(number) >> 4, patient_id=str(number), uid_names=(str(number),), bits=12)
        dataset = pydicom.dcmread(path)
        for keyword, said in (usual | ({name: value} if name else {})).items():
            setattr(dataset, keyword, said)
        dataset.save_as(path)
        rows.append(f"{number}.dcm,{'m.png' if number == 0 else ''},P{number},{'benign' if number == 0 else 'normal'}")
    cv2.imwrite(str(tmp_path / "m.png"), LESION.astype(np.uint8) * 255)
    (tmp_path / "own.csv").write_text("\n".join(rows))
    found = ingest(tmp_path, tmp_path / "out", TABLE)
    said = {row["what"]: row for table in (found.decisions, found.exclusions) for row in table.to_dict("records")}
    for number, (_, rule, words) in enumerate(told.values(), start=1):
        assert said[str(number)]["rule"] == rule
        assert said[str(number)]["found"].startswith(f"{number}.dcm: {words}")
    assert "0" not in said
    assert found.exclusions["what"].tolist() == ["9"]


def test_a_size_of_pixels_that_the_header_contradicts_is_told(tmp_path: Path) -> None:
    for number, spacing in enumerate(("0.2", "0.0705", "")):
        path = tmp_path / f"{number}.dcm"
        dicom.write_image(path, film(number) >> 4, patient_id=str(number), uid_names=(str(number),), bits=12)
        dataset = pydicom.dcmread(path)
        dataset.PixelSpacing = [spacing, spacing] if spacing else None
        dataset.save_as(path)
    cv2.imwrite(str(tmp_path / "m.png"), LESION.astype(np.uint8) * 255)
    rows = ["image,mask,patient,pathology,spacing_mm", "0.dcm,m.png,1,benign,0.07", "1.dcm,,2,normal,0.07"]
    (tmp_path / "own.csv").write_text("\n".join([*rows, "2.dcm,,3,normal,0.07"]))
    found = ingest(tmp_path, tmp_path / "out", TABLE)
    told = found.decisions[found.decisions["rule"] == "spacing-contradicts-header"]
    assert told[["what", "found"]].to_numpy().tolist() == [
        ["0", "The header of 0.dcm says 0.2 mm per pixel, where the collection says 0.07 mm."]
    ]
    assert found.mammograms["spacing_mm"].tolist() == [0.07] * 3
