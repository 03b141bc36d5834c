"""DICOM files made with pydicom itself, so that reader and writer cannot agree on the same mistake."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless
from real_data import real_data

from mammofill import dicom
from mammofill.ground.errors import ImageFileError
from mammofill.mammograms.reading import read_mask


def make(path: Path, stored: np.ndarray, bits: int = 16, signed: bool = False, **more: Any) -> Path:
    """Write stored values as they are."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    syntax = more.pop("syntax", ExplicitVRLittleEndian)
    overlay_bit = more.pop("overlay_bit", 0)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    content = stored.astype("<" + kind).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    for name, value in more.items():
        setattr(dataset, name, value)
    if overlay_bit:
        dataset.add_new(0x60000102, "US", overlay_bit)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_level_survives_in_its_order(tmp_path: Path, bits: int, photometric: str) -> None:
    stored = np.arange(2**bits).reshape(2 ** (bits // 2), -1)
    image = dicom.read_image(make(tmp_path / "a.dcm", stored, bits, PhotometricInterpretation=photometric))
    assert image.dtype == np.uint16
    levels = image.ravel().astype(int)
    if photometric == "MONOCHROME1":
        levels = levels[::-1]
    assert (levels[0], levels[-1]) == (0, 65535)
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize(
    ("stored", "facts", "expected"),
    [
        ([0, 128, 255], {"bits": 8}, [0, 128 * 257, 65535]),
        ([0, 128, 255], {"bits": 8, "PhotometricInterpretation": "MONOCHROME1"}, [65535, 127 * 257, 0]),
        ([-2048, 0, 2047], {"bits": 12, "signed": True}, [0, 32776, 65535]),
        ([0, 4095], {"bits": 12, "RescaleSlope": 2, "RescaleIntercept": -1000}, [0, 65535]),
        ([0, 4095], {"bits": 12, "RescaleSlope": -1, "RescaleIntercept": 4095}, [65535, 0]),
        ([0, 4096 + 4095], {"bits": 12, "overlay_bit": 12}, [0, 65535]),
        ([0, 1000, 3000, 4095], {"bits": 12, "WindowCenter": 2000.5, "WindowWidth": 2001}, [0, 16004, 48011, 65535]),
    ],
    ids=[
        "8 bit",
        "MONOCHROME1",
        "signed",
        "rescale",
        "falling rescale",
        "an overlay above the bits stored is not pixels",
        "a window is not applied unless asked for",
    ],
)
def test_values(tmp_path: Path, stored: list[int], facts: dict[str, Any], expected: list[int]) -> None:
    assert dicom.read_image(make(tmp_path / "a.dcm", np.array([stored]), **facts)).tolist() == [expected]


@pytest.mark.parametrize(
    ("photometric", "expected"), [("MONOCHROME2", [0, 0, 65535, 65535]), ("MONOCHROME1", [65535, 65535, 0, 0])]
)
def test_a_window_clips_and_monochrome1_is_inverted_after_it(
    tmp_path: Path, photometric: str, expected: list[int]
) -> None:
    path = make(
        tmp_path / "a.dcm",
        np.array([[0, 999, 3001, 4095]]),
        12,
        WindowCenter=2000.5,
        WindowWidth=2001,
        PhotometricInterpretation=photometric,
    )
    assert dicom.read_image(path, window="first").tolist() == [expected]


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian])
def test_lossless_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (17, 23))
    plain = dicom.read_image(make(tmp_path / "a.dcm", stored, 12))
    assert np.array_equal(dicom.read_image(make(tmp_path / "b.dcm", stored, 12, syntax=syntax)), plain)


def refused(path: Path) -> str:
    with pytest.raises(ImageFileError) as caught:
        dicom.read_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    image = np.zeros((4, 6), int)
    assert "does not exist" in refused(tmp_path / "nowhere.dcm")
    (tmp_path / "picture.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    assert "is not a DICOM file: it looks like a PNG image" in refused(tmp_path / "picture.dcm")
    (tmp_path / "empty.dcm").touch()
    assert "is not a DICOM file: it is empty" in refused(tmp_path / "empty.dcm")
    assert "has 3 frames; one is needed" in refused(
        make(tmp_path / "frames.dcm", np.zeros((3, 4, 6), int), NumberOfFrames=3)
    )
    colour = make(
        tmp_path / "colour.dcm", np.zeros((4, 6 * 3), int), 8, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        Columns=6, PlanarConfiguration=0,
    )  # fmt: skip
    assert "is a colour image (RGB, 3 samples per pixel)" in refused(colour)
    whole = make(tmp_path / "whole.dcm", np.zeros((64, 64), int)).read_bytes()
    (tmp_path / "truncated.dcm").write_bytes(whole[:-1000])
    assert "is truncated: 64x64 pixels of 16 bits take 8192 bytes, but it holds 7" in refused(
        tmp_path / "truncated.dcm"
    )
    packed = make(tmp_path / "packed.dcm", np.arange(64 * 64).reshape(64, 64), syntax=RLELossless).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(packed[:-1000])
    assert "is truncated: it ends before its pixels do" in refused(tmp_path / "cut.dcm")
    assert "stores its 12 bits up to bit 15" in refused(make(tmp_path / "high.dcm", image, 12, HighBit=15))
    header = pydicom.dcmread(make(tmp_path / "header.dcm", image))
    del header.PixelData
    header.save_as(tmp_path / "header.dcm")
    assert "holds no pixel data, only a header" in refused(tmp_path / "header.dcm")
    del header.Rows
    header.save_as(tmp_path / "report.dcm")
    assert "holds no image: its header (Digital Mammography" in refused(tmp_path / "report.dcm")


def test_what_the_library_warns_of_is_logged_with_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "padded.dcm", np.arange(64).reshape(8, 8), PixelData=bytes(136))
    with caplog.at_level("INFO", logger="mammofill.dicom"):
        assert dicom.read_image(path).shape == (8, 8)
    assert f"{path}: The pixel data" in caplog.text
    assert "8 bytes of excess padding" in caplog.text


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoPlugins:
        available_plugins = ()

    path = make(tmp_path / "a.dcm", np.zeros((4, 6), int), 12, syntax=RLELossless)
    monkeypatch.setattr("mammofill.dicom.decode.get_decoder", lambda syntax: NoPlugins())
    text = refused(path)
    assert "is compressed as RLE Lossless; no decoder for it is installed" in text
    assert 'pip install "mammofill[dicom]"' in text


def test_a_mask_has_two_values(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), bool)
    mask[1, 2:4] = True
    assert np.array_equal(read_mask(make(tmp_path / "a.dcm", mask * 255, 8)).mask, mask)
    assert not read_mask(make(tmp_path / "b.dcm", mask * 0, 8)).mask.any()
    assert read_mask(make(tmp_path / "d.dcm", np.full((4, 6), 255), 8)).mask.all()
    with pytest.raises(ImageFileError, match="is not a mask: a mask has two values, this image has 24"):
        read_mask(make(tmp_path / "c.dcm", np.arange(24).reshape(4, 6), 8))


@given(st.sampled_from([8, 12, 16]), st.booleans(), st.integers(0, 100))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, bits: int, monochrome1: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 2**bits, (5, 7)).astype(np.uint16)
    folder = tmp_path_factory.mktemp("written")
    for name in ("a.dcm", "b.dcm"):
        dicom.write_image(
            folder / name, pixels, patient_id="P_1", uid_names=("x",), bits=bits, monochrome1=monochrome1,
            laterality="L", view="CC", series_description="full mammogram images",
        )  # fmt: skip
    expected = np.rint(pixels * (65535 / (2**bits - 1))).astype(np.uint16)
    assert np.array_equal(dicom.read_image(folder / "a.dcm"), expected)
    assert (folder / "a.dcm").read_bytes() == (folder / "b.dcm").read_bytes()
    header = dicom.read_header(folder / "a.dcm")
    assert (header.rows, header.columns, header.bits_stored) == (5, 7, bits)
    assert (header.patient_id, header.laterality, header.view) == ("P_1", "L", "CC")
    assert header.series_description == "full mammogram images"
    assert header.photometric == ("MONOCHROME1" if monochrome1 else "MONOCHROME2")


def test_an_image_that_does_not_fit_its_bits_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="values up to 300 do not fit 8 bits"):
        dicom.write_image(tmp_path / "a.dcm", np.array([[300]], np.uint16), patient_id="P", uid_names=("x",), bits=8)


@pytest.mark.real_data
def test_real_edge_cases_are_read_right_or_refused_by_name() -> None:
    read, refused_names = 0, []
    for path in sorted(real_data("dicom_edge_cases").iterdir()):
        try:
            image = dicom.read_image(path).astype(np.int64)
        except ImageFileError as error:
            refused_names.append((path.name, str(path) in str(error)))
            continue
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit:
            continue  # which pydicom itself cannot decode
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array.astype(np.int64)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            stored = -stored
        inside = stored != dataset.get("PixelPaddingValue")
        stored, image = stored[inside], image[inside]
        order = np.argsort(stored, axis=None)
        steps, levels = np.diff(stored.ravel()[order]), np.diff(image.ravel()[order])
        assert ((levels > 0) == (steps > 0)).all(), path.name
        read += 1
    assert read >= 18
    assert {"MR_truncated.dcm", "SC_rgb_rle.dcm", "rtdose.dcm", "no_meta.dcm"} <= {name for name, _ in refused_names}
    assert all(named for _, named in refused_names)


@pytest.mark.real_data
def test_a_real_mammogram_of_12_bits() -> None:
    path = real_data("dicom_edge_cases", "MG1_J2KI")
    header = dicom.read_header(path)
    assert (header.rows, header.columns, header.bits_stored) == (4664, 3064, 12)
    image = dicom.read_image(path)
    assert image.shape == (4664, 3064)
    assert len(np.unique(image)) == len(np.unique(pydicom.dcmread(path).pixel_array))


@pytest.mark.real_data
def test_a_real_film_in_jpeg_of_12_bits() -> None:
    pytest.importorskip("imagecodecs")
    image = dicom.read(real_data("dicom_edge_cases", "MG1_JPLY"))
    assert image.pixels.shape == (4664, 3064)
    assert (image.pixels.min(), image.pixels.max(), image.used_bits) == (0, 65535, 12)  # stored: 0..4095
    # The same film in JPEG 2000: they differ by a few of its 4096 levels.
    other = dicom.read_image(real_data("dicom_edge_cases", "MG1_J2KI")).astype(np.float64)
    assert np.abs(image.pixels - other).mean() < 20 * 16


def jpeg_of_12_bits(path: Path, pixels: np.ndarray, **elements: Any) -> Path:
    """Write a file of JPEG Extended, process 4: https://www.itu.int/rec/T-REC-T.81, table 1."""
    codec = pytest.importorskip("imagecodecs")
    make(path, pixels, 12, **elements)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.PixelData = encapsulate([codec.jpeg8_encode(pixels.astype(np.uint16), 100, bitspersample=12)])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    return path


def test_jpeg_of_12_bits(tmp_path: Path) -> None:
    pixels = np.tile(np.linspace(0, 4095, 64), (48, 1)).astype(np.uint16)
    shown = dicom.read_image(jpeg_of_12_bits(tmp_path / "a.dcm", pixels))
    assert np.abs(shown / 65535 * 4095 - pixels).max() <= 4
    damaged = jpeg_of_12_bits(tmp_path / "b.dcm", pixels)
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b"\xff\xc1\0\x0b\x0c", b"\xff\xc1\0\x0b\x09"))  # of 9 bits, which is none
    assert "(JPEG Extended (Process 2 and 4), 12 bits) could not be decoded by imagecodecs" in refused(damaged)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_jpeg_of_12_bits_that_is_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (48, 64)).astype(np.uint16)
    path = jpeg_of_12_bits(tmp_path / "a.dcm", pixels)
    dataset = pydicom.dcmread(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    dataset.save_as(path)
    assert "is truncated: the compressed image in it lacks its end mark" in refused(path)
    dataset.PixelData = encapsulate([frame + b"\0\0"])
    dataset.save_as(path)
    assert dicom.read_image(path).shape == (48, 64)


def test_without_its_decoder_jpeg_of_12_bits_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), 12)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    monkeypatch.setattr("mammofill.dicom.decode.find_spec", lambda _: None)
    text = refused(path)
    assert "JPEG Extended" in text
    assert 'no decoder for it is installed. Run pip install "mammofill[dicom]"' in text


@pytest.mark.real_data
def test_real_monochrome1_is_bright_where_dense() -> None:
    path = real_data("dicom_edge_cases", "RG3_J2KR.dcm")
    stored = pydicom.dcmread(path).pixel_array
    image = dicom.read_image(path)
    assert image[np.unravel_index(stored.argmin(), stored.shape)] == image.max()


@given(
    arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 7, 128, 254, 255])
    ),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    st.sampled_from([{}, {"RescaleSlope": "2", "RescaleIntercept": "-5"}, {"PixelPaddingValue": 255}]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_of_a_mask_have_the_order_and_the_proportions_of_the_pixels(
    tmp_path: Path, stored: np.ndarray, photometric: str, more: dict[str, Any]
) -> None:
    path = make(tmp_path / "a.dcm", stored, 8, PhotometricInterpretation=photometric, **more)
    whole = dicom.read(path)
    values, remarks = dicom.read_values(dicom.parse(path))
    assert remarks == whole.remarks
    stretched = values if values.dtype == np.uint16 else values.astype(np.uint16) * np.uint16(257)
    assert np.array_equal(stretched, whole.pixels)
    if "PixelPaddingValue" not in more:  # which darkens what it marks, where that is not all
        assert values.dtype == (np.uint8 if photometric == "MONOCHROME2" else np.uint16)


def test_values_of_more_bits_are_the_pixels(tmp_path: Path) -> None:
    path = make(tmp_path / "a.dcm", np.arange(4096).reshape(64, 64), 12)
    values, _ = dicom.read_values(dicom.parse(path))
    assert np.array_equal(values, dicom.read_image(path))


# ---- words whose meaning is certain, and numbers on which pixels hang -----------------------------------------------


@pytest.mark.parametrize("said", ["MONOCHROME1 ", " MONOCHROME1", "Monochrome1"])
def test_case_and_spaces_of_the_photometric_interpretation_do_not_count(tmp_path: Path, said: str) -> None:
    path = make(tmp_path / "a.dcm", np.array([[0, 255]]), 8)
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2 ", said.ljust(12).encode()))
    assert dicom.read_image(path).tolist() == [[65535, 0]]


def test_an_empty_photometric_interpretation_is_no_colour(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="does not say whether its low values are dark"):
        dicom.read(make(tmp_path / "a.dcm", np.array([[0, 255]]), 8, PhotometricInterpretation=""))


def test_gray_without_its_number_of_samples_has_one(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(make(tmp_path / "a.dcm", np.array([[0, 4095]]), 12))
    del dataset.SamplesPerPixel
    dataset.save_as(tmp_path / "b.dcm")
    assert dicom.read_image(tmp_path / "b.dcm").tolist() == [[0, 65535]]


@pytest.mark.parametrize("name", ["Rows", "Columns", "BitsAllocated", "BitsStored", "NumberOfFrames", "HighBit"])
def test_two_numbers_where_one_must_stand_are_told_by_name(tmp_path: Path, name: str) -> None:
    dataset = pydicom.dcmread(make(tmp_path / "a.dcm", np.array([[0, 4095]]), 12))
    setattr(dataset, name, [1, 2])
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(ImageFileError, match=rf"has \[1, 2\] as {name}, where one whole number must stand"):
        dicom.read(tmp_path / "b.dcm")


def test_a_file_without_bits_allocated_or_with_empty_pixels_is_told_so(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(make(tmp_path / "a.dcm", np.array([[0, 4095]]), 12))
    dataset.PixelData = b""
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(ImageFileError, match="holds no pixel data, only a header"):
        dicom.read(tmp_path / "b.dcm")
    del dataset.BitsAllocated
    dataset.save_as(tmp_path / "c.dcm")
    with pytest.raises(ImageFileError, match="lacks BitsAllocated"):
        dicom.read(tmp_path / "c.dcm")


def test_fractions_are_refused_by_their_name(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(make(tmp_path / "a.dcm", np.array([[0, 4095]]), 12))
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros(2, np.float32).tobytes()
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(ImageFileError, match=r"holds fractions \(FloatPixelData\)"):
        dicom.read(tmp_path / "b.dcm")


@pytest.mark.parametrize("where", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_an_object_of_one_frame_says_slope_window_and_spacing_in_its_groups(tmp_path: Path, where: str) -> None:
    frame, value, window, measures = Dataset(), Dataset(), Dataset(), Dataset()
    value.RescaleSlope, value.RescaleIntercept = -1, 4095
    window.WindowCenter, window.WindowWidth = 4095, 2
    measures.PixelSpacing = [0.1, 0.2]
    frame.PixelValueTransformationSequence, frame.FrameVOILUTSequence = [value], [window]
    frame.PixelMeasuresSequence = [measures]
    path = make(tmp_path / "a.dcm", np.array([[0, 1, 4095]]), 12, NumberOfFrames=1, **{where: [frame]})
    assert dicom.read_image(path).tolist() == [[65535, 65519, 0]]
    assert dicom.read_image(path, "first").tolist() == [[65535, 0, 0]]
    assert dicom.read_header(path).spacing_mm == (0.1, 0.2)
    table, shown = Dataset(), Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 12], (np.arange(4096) // 3).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    shown.VOILUTSequence = [table]
    frame.FrameVOILUTSequence = [shown]
    path = make(tmp_path / "c.dcm", np.array([[0, 1, 4095]]), 12, NumberOfFrames=1, **{where: [frame]})
    assert dicom.read_image(path, "first").tolist() == [[21845, 21829, 0]]
    empty = {"RescaleSlope": None, "RescaleIntercept": None, "PixelSpacing": None}
    path = make(tmp_path / "b.dcm", np.array([[0, 1, 4095]]), 12, NumberOfFrames=1, **{where: [frame]}, **empty)
    assert dicom.read_image(path).tolist() == [[65535, 65519, 0]]
    assert dicom.read_header(path).spacing_mm == (0.1, 0.2)
