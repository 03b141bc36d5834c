"""Pixels mean what they say: read right, refused by name, or kept with a decision."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammofill import dicom, pictures
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import ReadImage
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.mixed_values import Values, find_mixtures
from mammofill.mammograms.reading import read_image, read_mask

sys.path.insert(0, str(Path(__file__).parents[1] / "dicom"))
from test_dicom import make

STORED = np.arange(4096).reshape(64, 64)
BASE = np.rint(STORED * (65535 / 4095)).astype(np.uint16)
TABLE = IngestSettings(collection="table", height_px=None)


def rules(read: ReadImage) -> set[str]:
    return {remark.rule for remark in read.remarks}


def write_raw(path: Path, source: Path, element: tuple[int, int], vr: str, value: bytes) -> Path:
    """Put an element into a file as bytes, which the library would not write."""
    whole = source.read_bytes()
    at = whole.index(b"\xe0\x7f\x10\x00")
    tag = element[0].to_bytes(2, "little") + element[1].to_bytes(2, "little")
    value += b" " * (len(value) % 2)
    path.write_bytes(whole[:at] + tag + vr.encode() + len(value).to_bytes(2, "little") + value + whole[at:])
    return path


# ---- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "element", "vr", "first", "second"),
    [
        ("PhotometricInterpretation", (0x0028, 0x0004), "CS", b"MONOCHROME2 ", b"MONOCHROME1 "),
        ("Rows", (0x0028, 0x0010), "US", b"\x40\0", b"\x20\0"),
        ("RescaleSlope", (0x0028, 0x1053), "DS", b"1 ", b"-1"),
    ],
)
def test_an_element_of_the_pixels_with_two_values_is_refused(
    tmp_path: Path, name: str, element: tuple[int, int], vr: str, first: bytes, second: bytes
) -> None:
    one = write_raw(tmp_path / "one.dcm", make(tmp_path / "a.dcm", STORED, 12), element, vr, first)
    same = write_raw(tmp_path / "same.dcm", one, element, vr, first)
    assert np.array_equal(dicom.read(same).pixels, BASE)
    assert not dicom.read(same).remarks
    path = write_raw(tmp_path / "other.dcm", one, element, vr, second)
    for read in (dicom.read, dicom.read_header):
        with pytest.raises(ImageFileError, match=f"other.dcm has {name} twice, with different values"):
            read(path)


@pytest.mark.parametrize("bits", [12, 16])
def test_two_different_pixel_data_are_refused(tmp_path: Path, bits: int) -> None:
    whole = make(tmp_path / "a.dcm", STORED, bits).read_bytes()
    pixels = whole[whole.index(b"\xe0\x7f\x10\x00") :]
    (tmp_path / "b.dcm").write_bytes(whole + pixels[:12] + pixels[:11:-1])
    with pytest.raises(ImageFileError, match=r"b\.dcm has PixelData twice, with different values, of which some pro"):
        dicom.read(tmp_path / "b.dcm")
    (tmp_path / "c.dcm").write_bytes(whole + pixels)
    (tmp_path / "d.dcm").write_bytes(whole + b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\0\0\0\0")  # padding of the data set
    right = dicom.read(tmp_path / "a.dcm")
    for name in ("c.dcm", "d.dcm"):
        read = dicom.read(tmp_path / name)
        assert np.array_equal(read.pixels, right.pixels)
        assert read.remarks == right.remarks


def test_other_elements_with_two_values_are_unknown(tmp_path: Path) -> None:
    path = make(tmp_path / "a.dcm", STORED, 12, PatientID="P1", ImageLaterality="L", PixelSpacing=[0.07, 0.07])
    for number, (element, vr, value) in enumerate((
        ((0x0010, 0x0020), "LO", b"P2"),
        ((0x0020, 0x0062), "CS", b"R"),
        ((0x0028, 0x0030), "DS", b"0.1\\0.1"),
        ((0x0011, 0x1001), "LO", b"one"),  # private: nothing is read from it
        ((0x0011, 0x1001), "LO", b"two"),
    )):  # fmt: skip
        path = write_raw(tmp_path / f"b{number}.dcm", path, element, vr, value)
    read = dicom.read(path)
    assert np.array_equal(read.pixels, BASE)
    assert (read.patient_id, read.laterality, read.spacing_mm) == (None, None, None)
    found = [(remark.rule, remark.found.removeprefix(f"{path}: "), remark.done) for remark in read.remarks]
    names = ("PatientID", "ImageLaterality", "PixelSpacing")
    assert found == [
        ("header-unreadable", f"{name} occurs twice, with different values.", "Taken for unknown.") for name in names
    ]


@pytest.mark.parametrize(
    ("vr", "value"), [("DS", b"0,07\\0,07"), ("DS", b"0.07"), ("DS", b"near\\far"), ("DS", b"-1\\-1")]
)
def test_a_bad_spacing_does_not_refuse_pixels(tmp_path: Path, vr: str, value: bytes) -> None:
    path = write_raw(tmp_path / "b.dcm", make(tmp_path / "a.dcm", STORED, 12), (0x0028, 0x0030), vr, value)
    read = dicom.read(path)
    assert np.array_equal(read.pixels, BASE)
    assert rules(read) == {"header-unreadable"}
    assert dicom.read_header(path).spacing_mm is None


@pytest.mark.parametrize(
    ("value", "rule"), [(b"1,0", {"number-with-comma"}), (b"", {"number-unreadable"}), (b"one", {"number-unreadable"})]
)
def test_a_slope_that_is_no_number_does_not_refuse_pixels(tmp_path: Path, value: bytes, rule: set[str]) -> None:
    path = write_raw(tmp_path / "b.dcm", make(tmp_path / "a.dcm", STORED, 12), (0x0028, 0x1053), "DS", value)
    read = dicom.read(path)
    assert np.array_equal(read.pixels, BASE)
    assert rules(read) == rule


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="has RescaleSlope 0, which makes all pixels the same"):
        dicom.read(make(tmp_path / "a.dcm", STORED, 12, RescaleSlope=0, RescaleIntercept=5))


@pytest.mark.parametrize(
    "window", [{"WindowCenter": 2000, "WindowWidth": 0}, {"WindowCenter": 2000}, {"WindowWidth": 100}]
)
def test_a_window_that_makes_no_sense_is_not_applied(tmp_path: Path, window: dict[str, int]) -> None:
    read = dicom.read(make(tmp_path / "a.dcm", STORED, 12, **window), "first")
    assert np.array_equal(read.pixels, BASE)
    assert "window-unusable" in rules(read)


@pytest.mark.parametrize(
    ("function", "expected"),
    [("LINEAR", (1000 - 1999.5) / 1999 + 0.5), ("LINEAR_EXACT", 0.0), ("SIGMOID", 1 / (1 + np.exp(2.0)))],
)
def test_windows_of_each_function(tmp_path: Path, function: str, expected: float) -> None:
    path = make(tmp_path / "a.dcm", STORED, 12, WindowCenter=2000, WindowWidth=2000, VOILUTFunction=function)
    found = dicom.read(path, "first").pixels.ravel()[1000] / 65535
    assert abs(found - max(0.0, expected)) < 1e-4


def test_values_beyond_bits_stored_are_refused(tmp_path: Path) -> None:
    for signed, values in ((False, [[0, 4095]]), (True, [[-2000, 3000]])):
        with pytest.raises(ImageFileError, match="says 10 bits, but holds values that need"):
            dicom.read(make(tmp_path / "a.dcm", np.array(values), 10, signed=signed))


def test_signed_values_without_their_sign_in_the_upper_bits(tmp_path: Path) -> None:
    stored = np.array([[0x0800, 0x0FFF, 0, 0x07FF]])  # -2048, -1, 0, 2047 in 12 bits
    assert dicom.read(make(tmp_path / "a.dcm", stored, 12, signed=True)).pixels.tolist() == [[0, 32759, 32776, 65535]]


def compressed(path: Path, frame: bytes, syntax: str, bits: int = 12, **more: Any) -> Path:
    """Write a file around a compressed image, whatever that is."""
    stored = STORED if bits > 8 else STORED >> 4
    dataset = dcmread(make(path, stored, bits, **more))
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("encoder", "syntax"),
    [("jpegls", JPEGLSLossless), ("jpeg2k", JPEG2000Lossless), ("ljpeg", JPEGLosslessSV1)],
)
def test_a_compressed_image_of_another_size_or_of_more_bits_is_refused(
    tmp_path: Path, encoder: str, syntax: str
) -> None:
    encode = getattr(pytest.importorskip("imagecodecs"), f"{encoder}_encode")
    whole = STORED.astype(np.uint16)
    options = {"level": 0, "codecformat": "j2k"} if syntax == JPEG2000Lossless else {}
    assert np.array_equal(dicom.read(compressed(tmp_path / "a.dcm", encode(whole, **options), syntax)).pixels, BASE)
    for part in (whole[:32], whole[:, :32], np.pad(whole, ((0, 64), (0, 0))), whole.reshape(32, 128)):
        path = compressed(tmp_path / "b.dcm", encode(np.ascontiguousarray(part), **options), syntax)
        with pytest.raises(ImageFileError, match=f"64x64 pixels .* has {part.shape[0]}x{part.shape[1]} of 1 samples"):
            dicom.read(path)
    with pytest.raises(ImageFileError, match="says 64x64 pixels of 8 bits in 8, but the compressed image"):
        dicom.read(compressed(tmp_path / "c.dcm", encode(whole, **options), syntax, bits=8))
    few = compressed(tmp_path / "d.dcm", encode(whole, **options), syntax, BitsStored=10, HighBit=9)
    with pytest.raises(ImageFileError, match="says 10 bits, but holds values that need 12"):
        dicom.read(few)


def test_a_compressed_image_in_colours_or_of_another_sign_is_not_taken_for_the_headers(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    colours = np.stack([(STORED >> 4).astype(np.uint8)] * 3, axis=-1)
    with pytest.raises(ImageFileError, match="of 3 samples of 8 bits"):
        dicom.read(compressed(tmp_path / "a.dcm", imagecodecs.jpeg8_encode(colours), JPEGBaseline8Bit, bits=8))
    frame = imagecodecs.jpeg2k_encode(STORED.astype(np.uint16), level=0, codecformat="j2k", bitspersample=12)
    read = dicom.read(compressed(tmp_path / "b.dcm", frame, JPEG2000Lossless, signed=True))
    assert rules(read) == {"sign-of-frame-differs"}
    dark = imagecodecs.jpeg2k_encode((STORED >> 4).astype(np.uint8), level=0, codecformat="j2k")
    assert rules(dicom.read(compressed(tmp_path / "c.dcm", dark, JPEG2000Lossless))) == {"bits-of-frame-fewer"}


@pytest.mark.parametrize(("syntax", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_a_lossy_jpeg_that_is_called_signed_is_read_as_unsigned(tmp_path: Path, syntax: str, bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    values = STORED.astype(np.uint16) if bits > 8 else (STORED >> 4).astype(np.uint8)
    frame = imagecodecs.jpeg8_encode(values, level=100, bitspersample=bits)
    right = dicom.read(compressed(tmp_path / "a.dcm", frame, syntax, bits=bits))
    read = dicom.read(compressed(tmp_path / "b.dcm", frame, syntax, bits=bits, signed=True))
    assert np.array_equal(read.pixels, right.pixels)
    assert not read.signed
    (remark,) = read.remarks
    assert remark.rule == "sign-of-frame-differs"
    assert "b.dcm: it says that its values are signed (PixelRepresentation), but the compressed image" in remark.found
    assert "Read as unsigned, since lossy JPEG knows no sign" in remark.done


@pytest.mark.parametrize(("encoder", "syntax"), [("jpeg2k", JPEG2000Lossless), ("ljpeg", JPEGLosslessSV1)])
def test_a_compressed_image_whose_end_was_never_fetched_is_refused(tmp_path: Path, encoder: str, syntax: str) -> None:
    encode = getattr(pytest.importorskip("imagecodecs"), f"{encoder}_encode")
    options = {"level": 60, "codecformat": "j2k"} if syntax == JPEG2000Lossless else {}
    whole = bytes(encode(STORED.astype(np.uint16), **options))
    lost = len(whole) // 10
    with pytest.raises(ImageFileError, match="is truncated: the compressed image in it ends in [0-9]+ zeros, without"):
        dicom.read(compressed(tmp_path / "a.dcm", whole[:-lost] + bytes(lost), syntax))
    filled_up = dicom.read(compressed(tmp_path / "b.dcm", whole + bytes(lost), syntax))
    assert np.array_equal(filled_up.pixels, dicom.read(compressed(tmp_path / "c.dcm", whole, syntax)).pixels)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("with_table", [True, False])
def test_a_second_image_of_which_the_header_says_nothing_is_refused(
    tmp_path: Path, syntax: str, with_table: bool
) -> None:
    dataset = dcmread(make(tmp_path / "a.dcm", STORED, 12))
    dataset.compress(syntax)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame, frame], has_bot=with_table)
    dataset.save_as(tmp_path / "two.dcm")
    with pytest.raises(ImageFileError, match="two.dcm holds 2 compressed images, one behind the other, but does not"):
        dicom.read(tmp_path / "two.dcm")
    dataset.PixelData = encapsulate([frame], fragments_per_frame=1 if syntax == RLELossless else 3, has_bot=with_table)
    dataset.save_as(tmp_path / "one.dcm")
    assert np.array_equal(dicom.read(tmp_path / "one.dcm").pixels, BASE)


def test_no_sign_and_syntaxes_of_makers_are_refused_by_name(tmp_path: Path) -> None:
    for bits in (12, 16):
        with pytest.raises(ImageFileError, match="does not say whether its values are signed"):
            dicom.read(make(tmp_path / "a.dcm", STORED, bits, PixelRepresentation=None))
    whole = make(tmp_path / "b.dcm", STORED, 12).read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"))
    with pytest.raises(ImageFileError, match="transfer syntax 1.2.840.113619.5.2, which is a manufacturer's own"):
        dicom.read(tmp_path / "b.dcm")


@pytest.mark.parametrize(("slope", "intercept"), [("1e308", "0"), ("1e-20", "1e6")])
def test_a_slope_that_leaves_no_picture_is_refused(tmp_path: Path, slope: str, intercept: str) -> None:
    path = make(tmp_path / "a.dcm", STORED, 12, RescaleSlope=slope, RescaleIntercept=intercept)
    with pytest.raises(ImageFileError, match=f"slope {slope}, intercept {intercept}.*makes all pixels the same"):
        dicom.read(path)


@pytest.mark.parametrize(
    "window", [{"WindowCenter": 90000}, {"WindowCenter": 2000, "VOILUTFunction": "CUBIC"}], ids=["beside", "unknown"]
)
def test_a_window_that_leaves_no_picture_or_is_unknown_is_not_applied(tmp_path: Path, window: dict[str, Any]) -> None:
    read = dicom.read(make(tmp_path / "a.dcm", STORED, 12, WindowWidth=1000, **window), "first")
    assert np.array_equal(read.pixels, BASE)
    assert rules(read) == {"window-unusable"}


def test_monochrome_without_a_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="says MONOCHROME without 1 or 2"):
        dicom.read(make(tmp_path / "a.dcm", STORED, 12, PhotometricInterpretation="MONOCHROME"))


def test_a_segmentation_of_two_frames_says_what_to_do(tmp_path: Path) -> None:
    frames = np.zeros((2, 4, 6), int)
    path = make(tmp_path / "a.dcm", frames, 8, NumberOfFrames=2, Modality="SEG")
    with pytest.raises(ImageFileError, match="a segmentation, has 2 frames.*the mask of each lesion, to a file of its"):
        dicom.read(path)


def test_contradictions_about_what_is_bright_are_noted(tmp_path: Path) -> None:
    read = dicom.read(make(tmp_path / "a.dcm", STORED, 12, PresentationLUTShape="INVERSE"))
    assert rules(read) == {"polarity-doubtful"}
    assert rules(dicom.read(make(tmp_path / "b.dcm", STORED, 12, PixelIntensityRelationshipSign=1))) == {
        "polarity-doubtful"
    }
    assert not rules(dicom.read(make(tmp_path / "c.dcm", STORED, 12, PixelIntensityRelationshipSign=-1)))


# ---- padding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_bright_padding_becomes_dark(tmp_path: Path, photometric: str) -> None:
    stored = np.full((20, 30), 2000)
    padding = 0 if photometric == "MONOCHROME1" else 4095
    stored[:, 20:] = padding
    facts = {"PixelPaddingValue": padding, "PhotometricInterpretation": photometric}
    read = dicom.read(make(tmp_path / "a.dcm", stored, 12, **facts))
    assert not read.pixels[:, 20:].any()
    assert (read.pixels[:, :20] > 30000).all()
    assert rules(read) == {"padding-darkened"}


def test_a_range_of_padding_and_one_that_is_no_padding(tmp_path: Path) -> None:
    stored = np.tile(np.arange(4000, 4096), (4, 1))
    read = dicom.read(make(tmp_path / "a.dcm", stored, 12, PixelPaddingValue=4095, PixelPaddingRangeLimit=4050))
    assert np.array_equal(read.pixels[0] == 0, stored[0] >= 4050)
    even = dicom.read(make(tmp_path / "b.dcm", np.full((4, 4), 4095), 12, PixelPaddingValue=4095))
    assert (rules(even), even.pixels.min()) == ({"padding-ignored"}, 65535)
    assert not rules(dicom.read(make(tmp_path / "c.dcm", STORED, 12, PixelPaddingValue=0)))


def test_padding_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    stored = np.full((20, 30), 2000)
    stored[:, 20:] = 4095
    two = write_raw(tmp_path / "b.dcm", make(tmp_path / "a.dcm", stored, 12), (0x0028, 0x0120), "US", b"\xff\x0f" * 2)
    limit = make(tmp_path / "c.dcm", stored, 12, PixelPaddingRangeLimit=4095)
    for path, words in ((two, "PixelPaddingValue is [4095, 4095], which is not one number"),
                        (limit, "it has a PixelPaddingRangeLimit without a PixelPaddingValue")):  # fmt: skip
        read = dicom.read(path)
        assert rules(read) == {"header-unreadable"}
        assert words in read.remarks[0].found
        assert (read.pixels[:, 20:] == 65535).all()


# ---- look-up tables -------------------------------------------------------------------------------------------------


def table_item(entries: np.ndarray, first: int, bits: int, packed: bool) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    content = entries.astype("u1").tobytes() if packed else entries.astype("<u2").tobytes()
    item.add_new("LUTData", "OW", content + b"\0" * (len(content) % 2))
    return item


@pytest.mark.parametrize(
    ("kind", "bits", "packed"),
    [(kind, bits, packed) for kind in ("VOILUTSequence", "ModalityLUTSequence")
     for bits, packed in ((8, True), (8, False), (12, False), (16, False))],
)  # fmt: skip
def test_tables_of_every_width(tmp_path: Path, kind: str, bits: int, packed: bool) -> None:
    entries = np.arange(4096) >> (12 - bits) if bits <= 12 else np.arange(4096) << 4
    path = make(tmp_path / "a.dcm", STORED, 12, **{kind: [table_item(entries, 0, bits, packed)]})
    read = dicom.read(path, "first")
    expected = np.rint(entries / (2**bits - 1) * 65535).astype(np.uint16).reshape(64, 64)
    assert np.array_equal(read.pixels, expected)
    assert np.abs(read.pixels.astype(int) - BASE).max() < 65535 / 200  # the base picture, to 8 bits


def test_a_table_holds_its_ends_and_begins_below_zero(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [4, -2, 16])
    item.add_new("LUTData", "OW", np.array([0, 10000, 20000, 65535], "<u2").tobytes())
    stored = np.array([[-2048, -2, -1, 0, 1, 2047]])
    path = make(tmp_path / "a.dcm", stored, 12, signed=True, ModalityLUTSequence=[item])
    assert dicom.read(path).pixels.tolist() == [[0, 0, 10000, 20000, 65535, 65535]]


@pytest.mark.parametrize("intercept", ["-1024", "0", "100"])
def test_a_voi_lut_begins_where_the_rescaled_values_do(tmp_path: Path, intercept: str) -> None:
    item = table_item(np.arange(4096), 0, 12, False)
    item.add_new("LUTDescriptor", "SS" if int(intercept) < 0 else "US", [4096, int(intercept), 12])
    path = make(tmp_path / "a.dcm", STORED, 12, RescaleSlope="1", RescaleIntercept=intercept, VOILUTSequence=[item])
    read = dicom.read(path, "first")
    assert rules(read) == set()
    assert np.array_equal(read.pixels, BASE)


def test_a_rescale_beside_a_modality_lut_is_told(tmp_path: Path) -> None:
    lut = {"ModalityLUTSequence": [table_item(np.arange(4096), 0, 12, packed=False)]}
    plain = make(tmp_path / "a.dcm", STORED, 12, **lut, RescaleSlope=1, RescaleIntercept=0)
    assert not rules(dicom.read(plain))
    read = dicom.read(make(tmp_path / "b.dcm", STORED, 12, **lut, RescaleSlope=-1, RescaleIntercept=4095))
    assert np.array_equal(read.pixels, dicom.read(plain).pixels)
    (remark,) = read.remarks
    assert remark.rule == "rescale-ignored"
    said = "it has a modality LUT and a rescale (slope -1, intercept 4095): one of them is wrong."
    assert remark.found == f"{tmp_path / 'b.dcm'}: {said}"
    assert remark.done == "The LUT was applied alone: look whether bright is dense."


def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    for entries, bits, words in ((np.arange(4096), 8, "says 8 bits, but holds values up to 4095"),):
        path = make(tmp_path / "a.dcm", STORED, 12, ModalityLUTSequence=[table_item(entries, 0, bits, False)])
        with pytest.raises(ImageFileError, match=words):
            dicom.read(path)
    short = table_item(np.arange(100), 0, 16, False)
    short.LUTDescriptor = [4096, 0, 16]
    with pytest.raises(ImageFileError, match="its modality LUT cannot be read .4096 entries of 16 bits, but 200 bytes"):
        dicom.read(make(tmp_path / "b.dcm", STORED, 12, ModalityLUTSequence=[short]))


# ---- pictures -------------------------------------------------------------------------------------------------------


def write_tiff(path: Path, stored: np.ndarray, photometric: int) -> Path:
    """Write an uncompressed TIFF byte for byte, since Pillow has a mind of its own about what is white."""
    rows, columns = stored.shape
    bits, at = stored.itemsize * 8, 8 + 2 + 9 * 12 + 4
    entries = [(256, columns), (257, rows), (258, bits), (259, 1), (262, photometric), (273, at), (277, 1), (278, rows),
               (279, stored.nbytes)]  # fmt: skip
    fields = b"".join(struct.pack("<HHII", tag, 4 if value > 65535 else 3, 1, value) for tag, value in entries)
    content = stored.astype(f"<u{stored.itemsize}").tobytes()
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + fields + bytes(4) + content)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_in_8_and_16_bits(tmp_path: Path, kind: Any) -> None:
    most = np.iinfo(kind).max
    shown = np.linspace(0, most, 60).reshape(6, 10).astype(kind)
    expected = np.rint(shown * (65535 / most)).astype(np.uint16)
    assert np.array_equal(pictures.read(write_tiff(tmp_path / "w.tif", most - shown, 0)).pixels, expected)
    assert np.array_equal(pictures.read(write_tiff(tmp_path / "b.tif", shown, 1)).pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_orientation_is_the_same_in_every_format(tmp_path: Path, orientation: int, name: str) -> None:
    stored = np.zeros((24, 40), np.uint8)
    stored[:8, :16] = 255
    turned = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.T,
              6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / name, exif=exif)
    values, _, remarks = pictures.read_values(tmp_path / name)
    assert pictures.read_size(tmp_path / name) == values.shape == turned.shape
    assert np.array_equal(values > 127, turned > 127)
    assert {remark.rule for remark in remarks} == (set() if orientation == 1 else {"orientation-applied"})


def tiff_with(path: Path, values: np.ndarray, **tags: int) -> Path:
    """Write a TIFF and then other numbers into tags of it."""
    Image.fromarray(values).save(path, tiffinfo={317: 1, 339: 1})
    content = bytearray(path.read_bytes())
    for name, number in tags.items():
        at = content.index(struct.pack("<HHI", {"predictor": 317, "compression": 259, "sign": 339}[name], 3, 1))
        content[at + 8 : at + 10] = struct.pack("<H", number)
    path.write_bytes(content)
    return path


def test_signed_tiffs_and_predictors_that_nobody_undoes_are_refused(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert pictures.read(tiff_with(tmp_path / "a.tif", values)).pixels.max() == 65535
    with pytest.raises(ImageFileError, match="values down to -128"):
        pictures.read(tiff_with(tmp_path / "b.tif", values, sign=2))
    with pytest.raises(ImageFileError, match=r"differences between neighbours \(Predictor 2\)"):
        pictures.read(tiff_with(tmp_path / "c.tif", values, predictor=2))
    large = np.full((4, 4), 2**31 - 1, np.int32)
    large[0, 0] = -1
    with pytest.raises(ImageFileError, match="values up to 4294967295, more than the 16 bits"):
        pictures.read(tiff_with(tmp_path / "d.tif", large, sign=1))


def test_a_pgm_that_holds_more_than_it_says_is_refused(tmp_path: Path) -> None:
    values = np.arange(4096, dtype=">u2").reshape(64, 64)
    (tmp_path / "a.pgm").write_bytes(b"P5\n64 64\n4095\n" + values.tobytes())
    assert np.array_equal(pictures.read(tmp_path / "a.pgm").pixels, BASE)
    (tmp_path / "b.pgm").write_bytes(b"P5\n64 64\n4094\n" + values.tobytes())
    with pytest.raises(ImageFileError, match="go up to 4094, but holds 4095"):
        pictures.read(tmp_path / "b.pgm")


def plain_tiff(path: Path, values: bytes, order: str = "<", **tags: int) -> Path:
    """Write a TIFF of 4 columns and 2 rows tag by tag, as other programs do; a tag of -1 is left out."""
    named = {"columns": 256, "rows": 257, "bits": 258, "compression": 259, "photometric": 262, "strip": 273,
             "samples": 277, "strip_rows": 278, "strip_bytes": 279, "planar": 284, "sample_format": 339,
             "fill_order": 266}  # fmt: skip
    usual = {"columns": 4, "rows": 2, "bits": 16, "compression": 1, "photometric": 1, "strip": 8, "samples": 1,
             "strip_rows": 2, "strip_bytes": len(values), "planar": 1, "sample_format": 1}  # fmt: skip
    said = {named[name]: value for name, value in (usual | tags).items() if value >= 0}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 3, 1) + struct.pack(f"{order}HH", value, 0)
        for tag, value in sorted(said.items())
    )
    start = 8 + len(values) + len(values) % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    directory = struct.pack(f"{order}H", len(said)) + entries + bytes(4)
    path.write_bytes(head + values.ljust(start - 8, b"\0") + directory)
    return path


EIGHT = np.arange(8, dtype=np.uint16).reshape(2, 4) * 4000


def test_tiffs_that_pillow_reads_as_something_else_are_refused(tmp_path: Path) -> None:
    path, stored = tmp_path / "a.tif", EIGHT.tobytes()
    assert np.array_equal(pictures.read(plain_tiff(path, stored)).pixels, EIGHT)
    assert np.array_equal(pictures.read(plain_tiff(path, EIGHT.astype(">u2").tobytes(), ">")).pixels, EIGHT)
    with pytest.raises(ImageFileError, match="a.tif does not say whether 0 is black or white"):
        pictures.read(plain_tiff(path, EIGHT.astype(np.uint8).tobytes(), bits=8, photometric=-1))
    with pytest.raises(
        ImageFileError, match="says 2x3 pixels, of which a strip takes 12 bytes, but holds 1 of up to 16"
    ):
        pictures.read(plain_tiff(path, stored, columns=3))
    with pytest.raises(
        ImageFileError, match="says 1x4 pixels, of which a strip takes 8 bytes, but holds 1 of up to 16: its width"
    ):
        pictures.read(plain_tiff(path, stored, rows=1))
    packed = zlib.compress(EIGHT.astype(">i2").tobytes())
    with pytest.raises(ImageFileError, match=r"signed values, the high byte first, and compressed \(8\)"):
        pictures.read(plain_tiff(path, packed, ">", compression=8, sample_format=2))
    packed = zlib.compress(EIGHT.astype("<i2").tobytes())
    assert np.array_equal(pictures.read(plain_tiff(path, packed, compression=8, sample_format=2)).pixels, EIGHT)


def test_what_pillow_forgets_of_a_tiff_in_planes_refuses_it(tmp_path: Path) -> None:
    path, values = tmp_path / "a.tif", np.arange(8, dtype=np.uint8)
    for more in ({"photometric": 0}, {"fill_order": 2}):
        with pytest.raises(ImageFileError, match=r"a.tif keeps its colours in planes \(PlanarConfiguration 2\), and 0"):
            pictures.read(plain_tiff(path, values.tobytes(), bits=8, planar=2, **more))
    assert np.array_equal(pictures.read_values(plain_tiff(path, values.tobytes(), bits=8, planar=2))[0].ravel(), values)


def tiled_tiff(path: Path, offsets: list[int], sizes: list[int]) -> Path:
    """Write a TIFF of 32 columns and 32 rows of 8 bits in tiles of 16 by 16, of which some may be missing."""
    pixels = bytes(range(256)) * 4
    longs = struct.pack(f"<{len(offsets)}I{len(sizes)}I", *offsets, *sizes)
    at = 8 + len(pixels)
    said = [(256, 1, 32), (257, 1, 32), (258, 1, 8), (259, 1, 1), (262, 1, 1), (277, 1, 1), (322, 1, 16), (323, 1, 16),
            (324, len(offsets), at), (325, len(sizes), at + 4 * len(offsets))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in said)
    head = b"II*\0" + struct.pack("<I", at + len(longs))
    path.write_bytes(head + pixels + longs + struct.pack("<H", len(said)) + entries + bytes(4))
    return path


def test_tiffs_that_lack_strips_or_tiles_are_refused(tmp_path: Path) -> None:
    stored = EIGHT.tobytes()
    with pytest.raises(ImageFileError, match="says 2x4 pixels in 1 strips, but of these only 0 are there and whole"):
        pictures.read(plain_tiff(tmp_path / "a.tif", stored, strip_bytes=8))
    with pytest.raises(ImageFileError, match="says 2x4 pixels in 2 strips, but of these only 1 are there and whole"):
        pictures.read(plain_tiff(tmp_path / "b.tif", stored[:8], strip_rows=1))
    with pytest.raises(ImageFileError, match="in 1 strips, but of these only 0 are there"):
        read_mask(plain_tiff(tmp_path / "c.tif", stored, strip=0))
    places, sizes = [8, 264, 520, 776], [256] * 4
    assert pictures.read(tiled_tiff(tmp_path / "d.tif", places, sizes)).pixels.shape == (32, 32)
    for at, held in ((places[:3], sizes[:3]), ([0, *places[1:]], [0, *sizes[1:]]), (places, [*sizes[:3], 100])):
        with pytest.raises(ImageFileError, match="says 32x32 pixels in 4 tiles, but of these only 3 are there"):
            pictures.read(tiled_tiff(tmp_path / "e.tif", at, held))


def test_white_is_zero_is_told_in_8_bits_too(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.uint8).reshape(2, 4)
    read = pictures.read(plain_tiff(tmp_path / "a.tif", values.tobytes(), bits=8, photometric=0))
    assert np.array_equal(read.pixels, (255 - values.astype(np.uint16)) * 257)
    assert rules(read) == {"white-is-zero"}


def test_white_is_zero_is_inverted_within_the_bits_that_a_table_gives(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", (4095 - STORED).astype(np.uint16), 0)
    assert np.array_equal(pictures.read(path, 12).pixels, BASE)
    assert pictures.read(path).used_bits == 12
    with pytest.raises(ImageFileError, match="holds values up to 4095, more than the 10 bits that it should use"):
        pictures.read(path, 10)


@pytest.mark.parametrize(("greatest", "bits"), [(4095, None), (4095, 12), (4095, 16), (65535, 12)])
def test_a_pgm_is_as_bright_whether_a_table_tells_its_bits_or_not(
    tmp_path: Path, greatest: int, bits: int | None
) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5\n64 64\n%d\n" % greatest + STORED.astype(">u2").tobytes())
    assert np.array_equal(pictures.read(tmp_path / "a.pgm", bits).pixels, BASE)
    (tmp_path / "b.pgm").write_text(f"P2\n64 64\n{greatest}\n" + " ".join(map(str, STORED.ravel())))
    assert np.array_equal(pictures.read(tmp_path / "b.pgm", bits).pixels, BASE)
    with pytest.raises(ImageFileError, match=r"a.pgm holds values up to 4095, more than the 11 bits"):
        pictures.read(tmp_path / "a.pgm", 11)


def test_a_pgm_of_several_pictures_is_refused(tmp_path: Path) -> None:
    for most, values in ((255, bytes(range(6))), (4095, bytes(range(12))), (65535, bytes(range(12)))):
        one = b"P5 3 2 %d\n" % most + values
        (tmp_path / "a.pgm").write_bytes(one + b"\n")
        assert pictures.read(tmp_path / "a.pgm").pixels.shape == (2, 3)
        (tmp_path / "a.pgm").write_bytes(one + b"\n" + one)
        with pytest.raises(ImageFileError, match="a.pgm holds several pictures, one behind the other"):
            pictures.read(tmp_path / "a.pgm")


@pytest.mark.parametrize("text", [True, False])
def test_a_pgm_of_more_pixels_than_it_says_is_refused(tmp_path: Path, text: bool) -> None:
    head = b"P2 29 40 65535\n" if text else b"P5 29 40 65535\n"
    for rows, columns in ((40, 29), (40, 30), (41, 29)):
        values = np.arange(rows * columns).reshape(rows, columns)
        numbers = b"\n".join(b" ".join(b"%d" % value for value in row) for row in values)
        (tmp_path / "a.pgm").write_bytes(head + (numbers if text else values.astype(">u2").tobytes()) + b"\n")
        if (rows, columns) == (40, 29):
            assert np.array_equal(pictures.read(tmp_path / "a.pgm").pixels, values)
            continue
        with pytest.raises(ImageFileError, match=r"a.pgm says 40x29 pixels, which .* its width or height is wrong"):
            pictures.read(tmp_path / "a.pgm")


def png(path: Path, values: np.ndarray, rows: int) -> Path:
    """Write a PNG whose header says so many rows."""
    bits = 1 if values.dtype == np.bool_ else 8 * values.itemsize
    lines = np.packbits(values, axis=1) if bits == 1 else values.astype(f">u{values.itemsize}")
    content = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", values.shape[1], rows, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(content)), (b"IEND", b""))
    written = (
        struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one)) for kind, one in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    return path


@pytest.mark.parametrize("kind", [np.uint16, np.uint8, np.bool_])
def test_a_png_whose_data_ends_too_early_is_refused(tmp_path: Path, kind: Any) -> None:
    values = (np.arange(90 * 70).reshape(90, 70) % 251).astype(kind)
    values[80:] = 0
    assert np.array_equal(pictures.read_values(png(tmp_path / "a.png", values, 90))[0], values)
    for there in (1, 60, 89):
        with pytest.raises(ImageFileError, match="says 90x70 pixels, but its data ends before the last row"):
            pictures.read_values(png(tmp_path / "b.png", values[:there], 90))
    with pytest.raises(ImageFileError, match="its data ends before the last row"):
        read_mask(png(tmp_path / "m.png", values[:60], 90))


def test_a_dicom_that_holds_more_than_its_header_says_is_refused(tmp_path: Path) -> None:
    whole = make(tmp_path / "a.dcm", STORED, 12)
    dataset = dcmread(whole)
    content = dataset.PixelData
    for name, value in (("Rows", 60), ("Columns", 63), ("PixelData", content * 2)):
        dataset = dcmread(whole)
        setattr(dataset, name, value)
        dataset.save_as(tmp_path / "b.dcm")
        with pytest.raises(ImageFileError, match=r"bytes, but holds \d+: its size or its number of frames is wrong"):
            dicom.read(tmp_path / "b.dcm")
    dataset = dcmread(whole)
    dataset.PixelData = content + b"\0\0"
    dataset.save_as(tmp_path / "b.dcm")
    assert np.array_equal(dicom.read(tmp_path / "b.dcm").pixels, BASE)


def test_more_bits_stored_than_allocated_is_refused(tmp_path: Path) -> None:
    dataset = dcmread(make(tmp_path / "a.dcm", STORED >> 4, 8))
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(ImageFileError, match="says that 12 bits are stored in 8"):
        dicom.read(tmp_path / "b.dcm")


def test_an_rle_image_of_more_rows_than_the_header_says_is_refused(tmp_path: Path) -> None:
    dataset = dcmread(make(tmp_path / "a.dcm", STORED, 12))
    dataset.compress(RLELossless)
    dataset.Rows = 32
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(ImageFileError, match=r"b.dcm \(RLE Lossless, 12 bits\) could not be decoded by pylibjpeg"):
        dicom.read(tmp_path / "b.dcm")


def test_an_aspect_ratio_is_noted(tmp_path: Path) -> None:
    read = dicom.read(make(tmp_path / "a.dcm", STORED, 12, PixelAspectRatio=[2, 1]))
    assert rules(read) == {"pixels-not-square"}
    assert rules(dicom.read(make(tmp_path / "a.dcm", STORED, 12, PixelAspectRatio=[1, 1]))) == set()


def test_a_tiff_that_cannot_be_read_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(ImageFileError, match="is damaged, or a TIFF of a kind that is not read"):
        pictures.read(tmp_path / "a.tif")


def test_an_eps_called_tif_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    monkeypatch.setattr("subprocess.check_call", start)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    for name in ("a.tif", "a.png"):
        (tmp_path / name).write_bytes(eps)
        with pytest.raises(ImageFileError, match="is no DICOM, PNG, TIFF, PGM or JPEG image"):
            pictures.read(tmp_path / name)
        with pytest.raises(ImageFileError, match="is no DICOM, PNG, TIFF, PGM or JPEG image"):
            read_mask(tmp_path / name)


def test_a_picture_larger_than_any_mammogram_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    for side, words in ((12000, "has 12000x12000 pixels, far more than"), (20000, "is far larger than")):
        Image.new("1", (side, side)).save(tmp_path / "bomb.png")
        assert (tmp_path / "bomb.png").stat().st_size < 10**6
        with pytest.raises(ImageFileError, match=f"{words} any mammogram"):
            pictures.read(tmp_path / "bomb.png")
    with pytest.raises(ImageFileError, match="has 30000x30000 pixels, far more than any mammogram"):
        dicom.read(make(tmp_path / "bomb.dcm", np.zeros((2, 2), int), Rows=30000, Columns=30000))


# ---- masks as files -------------------------------------------------------------------------------------------------


def disc(soft: bool = False) -> np.ndarray:
    rows, columns = np.ogrid[:80, :80]
    inside = np.clip(20 - np.hypot(rows - 40, columns - 40), 0, 2) / 2
    return np.rint((inside if soft else inside > 0.5) * 255).astype(np.uint8)


def test_masks_in_gray_colours_and_with_soft_edges_are_masks(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(disc()[..., None], 3, 2)).save(tmp_path / "rgb.png")
    Image.fromarray(disc(soft=True)).save(tmp_path / "soft.png")
    palette = Image.fromarray(disc() // 255, "P")
    palette.putpalette([0, 0, 0, 200, 200, 200])
    palette.save(tmp_path / "palette.png")
    for name, rule in (("rgb.png", "mask-in-colours"), ("soft.png", "mask-soft"), ("palette.png", "mask-in-colours")):
        read = read_mask(tmp_path / name)
        assert abs(int(read.mask.sum()) - int((disc() > 0).sum())) < 0.1 * read.mask.sum()
        assert [remark.rule for remark in read.remarks] == [rule]


def test_a_small_mask_that_is_blurred_is_a_mask_and_a_heat_map_is_none(tmp_path: Path) -> None:
    Image.fromarray(cv2.GaussianBlur(np.pad(disc(), 100), (0, 0), 2)).save(tmp_path / "soft.png")
    read = read_mask(tmp_path / "soft.png")
    assert abs(int(read.mask.sum()) - int((disc() > 0).sum())) < 0.1 * read.mask.sum()
    assert [remark.rule for remark in read.remarks] == ["mask-soft"]
    rows, columns = np.ogrid[:400, :400]
    heat = 255 * np.exp(-((rows - 200) ** 2 + (columns - 200) ** 2) / 800)
    Image.fromarray(heat.astype(np.uint8)).save(tmp_path / "heat.png")
    with pytest.raises(ImageFileError, match="heat.png is not a mask: a mask has two values"):
        read_mask(tmp_path / "heat.png")


def test_what_only_looks_like_a_soft_mask_is_refused(tmp_path: Path) -> None:
    labels = disc()
    labels[2:12, 2:12] = 128  # a second lesion, with a gray value of its own
    Image.fromarray(labels).save(tmp_path / "labels.png")
    with pytest.raises(ImageFileError, match="100 values between the extremes do not lie at the edge of a lesion"):
        read_mask(tmp_path / "labels.png")
    red = np.zeros((80, 80, 3), np.uint8)
    red[..., 0] = disc()
    Image.fromarray(red).save(tmp_path / "red.png")
    with pytest.raises(ImageFileError, match="is a colour picture"):
        read_mask(tmp_path / "red.png")


@pytest.mark.parametrize(("low", "high"), [(1, 10), (1, 255), (1000, 65535)])
def test_a_lesion_with_a_faint_label_is_not_taken_for_a_soft_edge(tmp_path: Path, low: int, high: int) -> None:
    labels = np.zeros((100, 200), np.uint16 if high > 255 else np.uint8)
    labels[:80, :80] = (disc() > 0) * high
    labels[40:60, 140:160] = low
    Image.fromarray(labels).save(tmp_path / "labels.png")
    with pytest.raises(ImageFileError, match=f"an area of the value {low}, as a label has, lies away from all edges"):
        read_mask(tmp_path / "labels.png")


@pytest.mark.parametrize("highest", [255, 65535])
def test_a_second_lesion_in_faint_grays_is_not_taken_for_a_soft_edge(tmp_path: Path, highest: int) -> None:
    drawn = np.zeros((500, 300), np.uint8 if highest == 255 else np.uint16)
    drawn[:80, :80] = (disc() > 0) * highest
    random = np.random.default_rng(0)
    specks = drawn.copy()
    specks[400:408, 200:208] = random.integers(1, highest // 8, (8, 8))  # as JPEG and resizing leave
    Image.fromarray(specks).save(tmp_path / "specks.png")
    assert read_mask(tmp_path / "specks.png").mask.sum() == (disc() > 0).sum()
    drawn[400:440, 200:240] = random.integers(1, highest // 8, (40, 40))
    Image.fromarray(drawn).save(tmp_path / "faint.png")
    found = f"an area of 1600 faint values lies away from all edges of what has the value {highest}"
    with pytest.raises(ImageFileError, match=f"faint.png is not a mask.* {found}"):
        read_mask(tmp_path / "faint.png")


def test_a_faint_label_that_touches_another_is_not_taken_for_a_soft_edge(tmp_path: Path) -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[40:100, 60:120], labels[100:122, 60:120] = 10, 1
    Image.fromarray(labels).save(tmp_path / "labels.png")
    found = "an area of the value 1, as a label has, lies at an edge of what has the value 10"
    with pytest.raises(ImageFileError, match=found):
        read_mask(tmp_path / "labels.png")


@pytest.mark.parametrize("gray", [60, 100, 120])
def test_a_small_lesion_in_another_gray_of_a_jpeg_is_not_taken_for_specks(tmp_path: Path, gray: int) -> None:
    drawn = np.zeros((768, 576), np.uint8)
    cv2.circle(drawn, (160, 300), 50, 255, -1)
    cv2.circle(drawn, (200, 520), 3, gray, -1)
    Image.fromarray(drawn).save(tmp_path / "speck.jpg", quality=90)
    assert read_mask(tmp_path / "speck.jpg").mask.sum() == pytest.approx(np.pi * 50**2, rel=0.03)
    cv2.circle(drawn, (200, 520), 8, gray, -1)
    Image.fromarray(drawn).save(tmp_path / "lesion.jpg", quality=90)
    with pytest.raises(ImageFileError, match="darker ones lies apart from the brightest"):
        read_mask(tmp_path / "lesion.jpg")
    cv2.circle(drawn, (200, 520), 8, 180, -1)
    Image.fromarray(drawn).save(tmp_path / "brighter.jpg", quality=90)
    assert read_mask(tmp_path / "brighter.jpg").mask[520, 200]


def test_noise_that_jpeg_leaves_around_a_lesion_is_no_label(tmp_path: Path) -> None:
    Image.fromarray(np.pad(disc(soft=True), 100)).save(tmp_path / "m.jpg", quality=60)
    read = read_mask(tmp_path / "m.jpg")
    assert [remark.rule for remark in read.remarks] == ["mask-soft"]
    assert abs(int(read.mask.sum()) - int((disc() > 0).sum())) < 0.1 * read.mask.sum()


# ---- a collection that mixes ----------------------------------------------------------------------------------------


def values(name: str, **more: Any) -> Values:
    return Values(**({"mammogram_id": name, "bits": 16, "used_bits": 16, "signed": False, "intent": None} | more))


@pytest.mark.parametrize(
    ("other", "rule", "words"),
    [
        ({"used_bits": 12}, "ranges-mixed", "2 over the range, 1 within 12 of 16 bits"),
        ({"bits": 12, "used_bits": 12}, "bits-mixed", "2 of 16 bits, 1 of 12 bits"),
        ({"signed": True}, "signs-mixed", "2 unsigned, 1 signed"),
        ({"windowed": True}, "windows-mixed", "2 shown without a window, 1 shown through a window"),
        ({"halved": True}, "decoding-mixed", "2 decoded whole, 1 decoded at half resolution"),
        ({"intent": "FOR PROCESSING"}, "intents-mixed", "2 of no stated intent, 1 FOR PROCESSING"),
    ],
)
def test_what_differs_between_images_is_found(other: dict[str, Any], rule: str, words: str) -> None:
    found = find_mixtures([values("a"), values("b", used_bits=15), values("c", **other)])
    assert [(one.rule, one.fewer) for one in found] == [(rule, ("c",))]
    assert words in found[0].found
    assert not find_mixtures([values("a"), values("b", used_bits=14)])


def test_two_devices_that_fill_ranges_two_bits_apart_are_found() -> None:
    few, many = [values(f"a{number}", used_bits=12, filled_bits=12) for number in range(3)], []
    for number, filled in enumerate((14, 14, 14, 0)):
        many.append(values(f"b{number}", used_bits=14, filled_bits=filled))
    (found,) = find_mixtures([*few, *many])
    assert (found.rule, found.fewer) == ("ranges-mixed", ("b0", "b1", "b2"))
    assert "3 up to the end of 12 of 16 bits, 3 up to the end of 14 of 16 bits" in found.found
    between = values("c", used_bits=13, filled_bits=13)
    assert not find_mixtures([*few, *many, between])
    assert not find_mixtures([*few[:2], *many])


@pytest.mark.parametrize("hidden_by", ["a label", "padding"])
def test_a_few_bright_pixels_do_not_hide_a_range_that_is_unused(tmp_path: Path, hidden_by: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (200, 150))
    if hidden_by == "a label":
        stored[3:6, 100:140] = 65535
        path = make(tmp_path / "a.dcm", stored, 16)
        Image.fromarray(stored.astype(np.uint16)).save(tmp_path / "a.png")
        assert pictures.read(tmp_path / "a.png").used_bits == 12
    else:
        stored[:20] = 65535
        path = make(tmp_path / "a.dcm", stored, 16, PixelPaddingValue=65535)
    read = dicom.read(path)
    assert (read.bits, read.used_bits) == (16, 12)


def test_a_table_that_reaches_a_part_of_its_bits_uses_only_these(tmp_path: Path) -> None:
    item = table_item(np.arange(4096), 0, 16, False)
    assert dicom.read(make(tmp_path / "a.dcm", STORED, 12, ModalityLUTSequence=[item])).used_bits == 8
    path = make(tmp_path / "b.dcm", STORED, 12, VOILUTSequence=[item])
    assert (dicom.read(path).used_bits, dicom.read(path, "first").used_bits) == (12, 8)
    path = make(tmp_path / "c.dcm", STORED, 12, PhotometricInterpretation="MONOCHROME1")
    assert dicom.read(path).used_bits == 12


def test_a_window_that_was_applied_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "a.dcm", STORED, 12, WindowCenter=2000, WindowWidth=1000)
    assert [dicom.read(path, window).windowed for window in ("none", "first")] == [False, True]
    assert not dicom.read(make(tmp_path / "b.dcm", STORED, 12), "first").windowed
    assert not dicom.read(make(tmp_path / "c.dcm", STORED, 12, WindowCenter=90000, WindowWidth=1), "first").windowed


def test_bits_of_a_table_that_a_dicom_header_contradicts_are_told(tmp_path: Path) -> None:
    path = make(tmp_path / "a.dcm", STORED, 16)
    read = read_image(path, 12, "none")
    assert [remark.rule for remark in read.remarks] == ["bits-contradict-header"]
    assert "has 16 bits by its header (BitsStored, (0028,0101)), where the table says 12." in read.remarks[0].found
    assert not read_image(path, 16, "none").remarks
    assert not read_image(path, None, "none").remarks


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.pgm"])
def test_more_bits_than_a_picture_has_do_not_darken_it(tmp_path: Path, name: str) -> None:
    Image.fromarray((STORED // 16).astype(np.uint8)).save(tmp_path / name, quality=100)
    read = read_image(tmp_path / name, 12, "none")
    assert read.pixels.max() > 64000
    (remark,) = read.remarks
    assert remark.rule == "bits-contradict-header"
    assert "has 8 bits, where the table says 12: it cannot hold them" in remark.found
    assert not read_image(tmp_path / name, 8, "none").remarks


def test_signed_values_of_which_none_is_below_zero_are_told(tmp_path: Path) -> None:
    read = dicom.read(make(tmp_path / "a.dcm", STORED, 16, signed=True))
    assert rules(read) == {"sign-unused"}
    assert "says that its values are signed, but none is below 0" in read.remarks[0].found
    assert not rules(dicom.read(make(tmp_path / "b.dcm", STORED - 2048, 12, signed=True)))
    values = EIGHT.astype("<i2").tobytes()
    assert pictures.read(plain_tiff(tmp_path / "a.tif", values, sample_format=2)).signed
    assert not pictures.read(plain_tiff(tmp_path / "b.tif", values)).signed


def test_a_voi_lut_that_shows_low_values_bright_is_told_unless_it_is_applied(tmp_path: Path) -> None:
    falling, rising = (table_item(np.arange(4096)[::step], 0, 12, False) for step in (-1, 1))
    path = make(tmp_path / "a.dcm", STORED, 12, VOILUTSequence=[falling])
    read = dicom.read(path)
    assert rules(read) == {"polarity-doubtful"}
    assert "it is MONOCHROME2, but its VOI LUT, which is not applied, shows low values bright" in read.remarks[0].found
    assert np.array_equal(read.pixels, BASE)
    assert not rules(dicom.read(path, "first"))
    assert not rules(dicom.read(make(tmp_path / "b.dcm", STORED, 12, VOILUTSequence=[rising])))


def test_ingest_decides_about_a_mixed_collection(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 4096, (64, 48))
    make(tmp_path / "a.dcm", grain, 12, PresentationIntentType="FOR PRESENTATION")
    make(tmp_path / "b.dcm", grain, 12, PresentationIntentType="FOR PROCESSING")
    make(tmp_path / "c.dcm", grain * 16, 16, PresentationIntentType="FOR PRESENTATION")
    make(tmp_path / "d.dcm", grain, 16, PresentationIntentType="FOR PRESENTATION")
    rows = [[f"{name}.dcm", "", f"patient {name}", "normal"] for name in "abcd"]
    pd.DataFrame(rows, columns=["image", "mask", "patient", "pathology"]).to_csv(tmp_path / "own.csv", index=False)
    found = ingest(tmp_path, tmp_path / "out", TABLE)
    told = found.decisions[found.decisions["what"] == "collection"]
    assert sorted(told["rule"]) == ["bits-mixed", "intents-mixed", "ranges-mixed"]


def test_the_library_is_spoken_to_in_its_own_words() -> None:
    """Raw elements keep the bytes that `_number` falls back on."""
    assert RawDataElement(Tag(0x0028, 0x1053), "DS", 2, b"1,", 0, False, True).value == b"1,"


# ---- pictures that would be read as something else ------------------------------------------------------------------


def test_colours_of_16_bits_do_not_lose_a_faint_mask(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + b"\0\1" * 3 * 4 for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = (
        struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one)) for kind, one in chunks
    )
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    with pytest.raises(ImageFileError, match="is a colour picture of 16 bits, of which only 8 would be read"):
        read_mask(tmp_path / "m.png")


def test_a_mask_of_values_below_zero_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, -1], [-1, 0]], np.int32)).save(tmp_path / "m.tif")
    with pytest.raises(ImageFileError, match="holds values down to -1; those of a mask start at 0"):
        read_mask(tmp_path / "m.tif")


def test_a_pgm_with_line_ends_of_windows_is_not_shifted(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5\r\n2 2\r\n255\r\n\1\2\3\4")
    with pytest.raises(ImageFileError, match="ends the lines of its header as Windows does"):
        pictures.read(tmp_path / "a.pgm")
    (tmp_path / "b.pgm").write_bytes(b"P5\n2 2\n255\r\n\2\3\4")  # whose first pixel is 10
    assert pictures.read_values(tmp_path / "b.pgm")[0].tolist() == [[10, 2], [3, 4]]


@pytest.mark.parametrize("behind", [b" \n", b"\n# made by hand\n"])
def test_a_pgm_with_more_behind_its_header_is_not_shifted(tmp_path: Path, behind: bytes) -> None:
    stored = (STORED * 16).astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(b"P5\n64 64\n65535" + behind + stored)
    with pytest.raises(ImageFileError, match="blanks or letters between its header and its pixels"):
        pictures.read(tmp_path / "a.pgm")
    for end in (b"", b"\n", b"\0"):
        (tmp_path / "b.pgm").write_bytes(b"P5\n64 64\n65535\n" + stored + end)
        assert np.array_equal(pictures.read(tmp_path / "b.pgm").pixels, STORED * 16)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"PK\3\4rest", "it looks like a ZIP archive"),
        (b"\x1f\x8brest", "it looks like a file packed with gzip"),
        (b"GIF89a", "it looks like a GIF image"),
        (b"<html>", "it looks like a web page or XML"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "a pointer of Git LFS, in place of a file that was never fetched",
        ),
        (b"\0" * 128 + b"DICM", "it looks like a DICOM file"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageFileError, match="is no DICOM, PNG, TIFF, PGM or JPEG image") as caught:
        pictures.read(tmp_path / "a.png")
    assert words in str(caught.value)
