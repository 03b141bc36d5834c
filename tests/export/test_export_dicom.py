"""Synthetic lesions as DICOM images: the source outside of the hole, marked, and read again in the same place."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from painted import SIZE, infiller_like, painted
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    SecondaryCaptureImageStorage,
)

from mammofill import dicom
from mammofill.export import DicomExport, ExportDicomSettings, export_dicom
from mammofill.export.objects import Lineage, write_image
from mammofill.export.source import Source
from mammofill.ground.errors import ArtifactError, SourceError, TooFewError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches

sys.path.insert(0, str(Path(__file__).parents[1] / "dicom"))
from test_dicom import make

pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom-out)")


@pytest.fixture(scope="module")
def export(fills: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> DicomExport:
    return export_dicom(fills, tmp_path_factory.mktemp("dicom") / "out")


def _source(mammograms: MammogramSet, row: dict[str, str]) -> dicom.StoredValues:
    return dicom.read_stored(mammograms.folder.parent / "phantoms" / row["source_file"])


def test_each_fill_is_an_image_that_is_its_source_outside_of_the_hole(
    export: DicomExport, fills: PatchSet, mammograms: MammogramSet
) -> None:
    rows = export.lineage.to_dict("records")
    assert len(rows) == len(fills.table) == 6
    for row in rows:
        source, made = _source(mammograms, row), dicom.read_stored(export.folder / row["image"])
        differs = made.values != source.values
        box = np.s_[row["top"] : row["top"] + row["height"], row["left"] : row["left"] + row["width"]]
        assert made.values.dtype == source.values.dtype
        assert (made.bits, made.header.PhotometricInterpretation) == (12, source.header.PhotometricInterpretation)
        assert differs[box].sum() == differs.sum() == row["pixels_changed"] > 100
        assert row["pixels_changed_outside"] == 0
        assert row["height"] * row["width"] < differs.size / 10


def test_some_sources_have_low_values_bright(export: DicomExport) -> None:
    shown = {str(pydicom.dcmread(path).PhotometricInterpretation) for path in (export.folder / "images").iterdir()}
    assert shown == {"MONOCHROME1", "MONOCHROME2"}


def test_fills_of_one_place_become_images_of_their_own(export: DicomExport, fills: PatchSet) -> None:
    rows = export.lineage.sort_values("patch_id").to_dict("records")
    first, second = rows[0], rows[1]
    assert (first["top"], first["left"]) == (second["top"], second["left"])
    one, two = (dicom.read_stored(export.folder / row["image"]).values for row in (first, second))
    assert (one != two).sum() > 50


def test_what_an_image_says(export: DicomExport, fills: PatchSet, mammograms: MammogramSet) -> None:
    row = export.lineage.to_dict("records")[0]
    source = _source(mammograms, row).header
    for name in (row["image"], row["image"].replace("images", "segmentations")):
        said = pydicom.dcmread(export.folder / name)
        assert said.SyntheticData == "YES"
        assert "SYNTHETIC" in str(said.PatientName) + str(said.StudyDescription)
        assert said.SOPInstanceUID.startswith("2.25.")
        assert said.StudyInstanceUID != source.StudyInstanceUID
        assert "PatientOrientation" in said
    image = pydicom.dcmread(export.folder / row["image"])
    assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.ContributingEquipmentSequence[0].Manufacturer == "mammofill"
    assert image.DerivationDescription.startswith("A benign mass was painted by a generative model")
    assert (image.BurnedInAnnotation, image.PatientIdentityRemoved) == ("NO", "YES")
    known = {*mammograms.mammograms["patient_id"]}
    assert not [patient for patient in known if patient in str(image) or patient in str(row["image"])]


@pytest.mark.parametrize(
    ("method", "words", "code"),
    [
        ("copy-paste", "was pasted: it is a real lesion of a patient", "PASTED_LESION"),
        ("texture", "without a lesion", "SHAM_LESION"),
        (None, "method is not known: it may be a real lesion of a patient", "INSERTED_LESION"),
    ],
)
def test_a_patients_lesion_is_not_called_a_generative_models(
    fills: PatchSet, tmp_path: Path, method: str | None, words: str, code: str
) -> None:
    patches = PatchSet.open(fills.folder.parent / "patches")
    infiller = infiller_like(tmp_path / "infiller", method) if method else None
    rows = patches.rows(split="train", pathology="normal")[:1]
    pasted = painted(patches, patches.table.index[rows], tmp_path / "pasted", infiller=infiller)
    export = export_dicom(pasted, tmp_path / "out")
    image = pydicom.dcmread(export.folder / "images" / "00001.dcm")
    assert words in image.DerivationDescription
    (item,) = image.DerivationCodeSequence
    assert (item.get("CodeValue") or item.LongCodeValue) == code
    assert "enerative" not in str(image)
    segment = pydicom.dcmread(export.folder / "segmentations" / "00001.dcm").SegmentSequence[0]
    assert "Synthetic" not in segment.SegmentLabel


def test_the_same_command_writes_the_same_bytes(export: DicomExport, fills: PatchSet, tmp_path: Path) -> None:
    again = export_dicom(fills, tmp_path / "again")
    assert again.manifest.hashes == export.manifest.hashes


def test_other_settings_give_other_identifiers(export: DicomExport, fills: PatchSet, tmp_path: Path) -> None:
    marked = export_dicom(fills, tmp_path / "marked", ExportDicomSettings(watermark=True, most=1))
    assert len(marked.lineage) == 1
    image = pydicom.dcmread(marked.folder / "images" / "00001.dcm")
    before = export.lineage.set_index("patch_id").loc[marked.lineage["patch_id"][0]]
    assert image.BurnedInAnnotation == "YES"
    assert image.SOPInstanceUID != before["sop_instance_uid"]
    plain = pydicom.dcmread(export.folder / before["image"])
    drawn = image.pixel_array != plain.pixel_array
    assert drawn.sum() > 100
    assert len(np.unique(image.pixel_array[drawn])) == 1


def test_ingest_finds_lesions_and_pixels_where_they_were(
    fills: PatchSet, mammograms: MammogramSet, tmp_path: Path
) -> None:
    export = export_dicom(fills, tmp_path / "bare", ExportDicomSettings(match_grain=False))
    back = ingest(
        export.folder,
        tmp_path / "back",
        IngestSettings(collection="table", height_px=132, split="official-patient-safe"),
    )
    assert (back.decisions["rule"] == "image-synthetic").sum() >= 6
    rows_of = {name: row for row, name in enumerate(fills.table["patch_id"])}
    for row in export.lineage.to_dict("records"):
        name, number = Path(row["image"]).stem, rows_of[row["patch_id"]]
        (fill,), (mask,) = fills.pixels([number])
        place = fills.table.iloc[number]
        window = np.s_[place["top"] : place["top"] + 32, place["left"] : place["left"] + 32]
        found = back.lesion_mask(name)
        assert np.array_equal(found[window], mask)
        assert found.sum() == mask.sum()
        far = np.abs(back.image(name)[window].astype(int) - fill)
        assert far.mean() < 20  # 12 bits are 16 levels apart, and the rim fades
        tissue = mammograms.image(row["mammogram_id"])
        assert (np.abs(tissue[window].astype(int) - fill)).mean() > 200


def test_ingest_keeps_synthetic_images_out_of_the_test_split_unless_asked(export: DicomExport, tmp_path: Path) -> None:
    drawn = IngestSettings(collection="table", height_px=132, split="patients", test_share=0.4, validation_share=0.0)
    kept = ingest(export.folder, tmp_path / "kept", drawn)
    assert "test" not in set(kept.mammograms["split"])
    left_out = kept.exclusions[kept.exclusions["rule"] == "synthetic-in-test"]
    assert len(left_out) == 6 - len(kept.mammograms) > 0
    assert "says that it is synthetic" in left_out["found"].iloc[0]
    asked = IngestSettings(**{**drawn.__dict__, "synthetic_tests": True})
    assert "test" in set(ingest(export.folder, tmp_path / "asked", asked).mammograms["split"])


def test_a_hole_without_grain_is_lent_that_of_the_film(fills: PatchSet, export: DicomExport, tmp_path: Path) -> None:
    bare = export_dicom(fills, tmp_path / "bare", ExportDicomSettings(match_grain=False)).lineage
    assert (bare["grain_matched"] == bare["grain_pasted"]).all()
    lent = export.lineage
    lacking = lent["grain_pasted"] < 0.9 * lent["grain_around"]
    nearer = (lent["grain_matched"] - lent["grain_around"]).abs() <= (bare["grain_pasted"] - lent["grain_around"]).abs()
    assert nearer[lacking].all()


def test_a_changed_or_missing_source_is_refused(fills: PatchSet, mammograms: MammogramSet, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(mammograms.folder.parent / "phantoms", moved)
    assert len(export_dicom(fills, tmp_path / "moved-out", ExportDicomSettings(most=1), collection=moved).lineage) == 1
    used = moved / mammograms.facts(str(fills.table["mammogram_id"].iloc[0]))["source_file"]
    content = bytearray(used.read_bytes())
    content[-1] ^= 1
    used.write_bytes(content)
    with pytest.raises(SourceError, match="was changed since"):
        export_dicom(fills, tmp_path / "changed", collection=moved)
    used.unlink()
    with pytest.raises(SourceError, match="does not exist. Say where the collection lies now"):
        export_dicom(fills, tmp_path / "missing", collection=moved)


def test_patches_of_other_mammograms_or_none_are_refused(
    fills: PatchSet, mammograms: MammogramSet, tmp_path: Path
) -> None:
    other = ingest(mammograms.folder.parent / "phantoms", tmp_path / "other", IngestSettings(height_px=150))
    with pytest.raises(ArtifactError, match="differs from the mammogram"):
        export_dicom(fills, tmp_path / "wrong", mammograms=other)
    real = PatchSet.open(mammograms.folder.parent / "patches")
    with pytest.raises(TooFewError, match="holds no synthetic patch"):
        export_dicom(real, tmp_path / "real")


def test_its_card_of_origin_names_every_input(export: DicomExport) -> None:
    said = json.loads((export.folder / "artifact.json").read_text(encoding="utf-8"))
    assert [one["role"] for one in said["inputs"]] == ["patches", "mammograms"]


def test_what_was_painted_into_a_window_is_pasted_into_the_values_that_it_shows(
    mammograms: MammogramSet, tmp_path: Path
) -> None:
    folder = tmp_path / "phantoms"
    shutil.copytree(mammograms.folder.parent / "phantoms", folder)
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.WindowCenter, header.WindowWidth = (2600, 2400)
        header.save_as(path)
    windowed = ingest(folder, tmp_path / "mammograms", IngestSettings(height_px=132, window="first"))
    cut = ExtractPatchesSettings(size_px=SIZE, stride_px=8, normal_margin_px=0)
    patches = extract_patches(windowed, tmp_path / "patches", cut)
    fills = painted(patches, patches.table.index[patches.rows(pathology="normal")[:2]], tmp_path / "fills")
    export = export_dicom(fills, tmp_path / "out", ExportDicomSettings(match_grain=False))
    for row in export.lineage.to_dict("records"):
        number = fills.table.index[fills.table["patch_id"] == row["patch_id"]][0]
        source, made = (
            dicom.read(path, "first").pixels.astype(int)
            for path in (folder / row["source_file"], export.folder / row["image"])
        )
        (fill,), _ = fills.pixels([number])
        (tissue,), _ = patches.pixels([list(patches.table["patch_id"]).index(row["patch_id"].rsplit("-", 1)[0])])
        painted_on = (fill.astype(int) - tissue).sum() * source.size / windowed.image(row["mammogram_id"]).size
        assert (made - source).sum() == pytest.approx(painted_on, rel=0.15)  # the rim fades


_LINEAGE = Lineage("a", "SYN-1", "benign", "mass", 1, "f" * 64, "flow", "left", "cc", 0.07, 1, "19700101", "made")


def _exported(path: Path, painted_white: tuple[slice, slice] | None = None) -> Path:
    """Write a file again as an export does, with nothing or only white painted into it."""
    stored = dicom.read_stored(path)
    told = {"reach": stored.reach, "is_padded": stored.is_padded}
    source = Source(path, "", stored.values, stored.bits, stored.low, stored.shown, stored.header, **told)
    values = np.array(stored.values)
    if painted_white:
        values[painted_white] = source.stored(np.array([65535], np.uint16))
    out = path.with_name("exported.dcm")
    write_image(out, source, values, _LINEAGE, watermark=False)
    return out


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": -0.5, "RescaleIntercept": 100}])
@pytest.mark.parametrize("signed", [False, True])
def test_a_window_that_has_to_be_assumed_changes_nothing(
    tmp_path: Path, rescale: dict[str, float], signed: bool
) -> None:
    values = np.arange(4096).reshape(64, 64) - 2048 * signed
    digital = {"SOPClassUID": DigitalMammographyXRayImageStorageForPresentation, **rescale}
    path = make(tmp_path / "a.dcm", values, 12, signed=signed, **digital)
    out = _exported(path)
    assert np.array_equal(dicom.read(out, "first").pixels, dicom.read(path).pixels)


def test_a_look_up_table_of_a_source_with_the_high_byte_first_stays_the_same(tmp_path: Path) -> None:
    values = np.arange(4096).reshape(64, 64)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 12], (np.arange(4096) ** 2 // 4096).astype(">u2").tobytes()
    table["LUTData"].VR, table.ModalityLUTType = "OW", "US"
    high_first = {"syntax": ExplicitVRBigEndian, "PixelData": values.astype(">u2").tobytes()}
    more = {"SOPClassUID": SecondaryCaptureImageStorage, "ModalityLUTSequence": [table]}
    path = make(tmp_path / "a.dcm", values, 12, **high_first, **more)
    assert np.array_equal(dicom.read(_exported(path)).pixels, dicom.read(path).pixels)


@pytest.mark.parametrize("is_padded", [False, True])
def test_what_is_painted_does_not_become_padding(tmp_path: Path, is_padded: bool) -> None:
    imaged = np.minimum(np.arange(4096).reshape(64, 64), 4094)
    imaged[:4] = 4095 if is_padded else 0
    path = make(tmp_path / "a.dcm", imaged, 12, PixelPaddingValue=4095)
    read = dicom.read(_exported(path, np.s_[20:24, 20:24]))
    assert read.pixels[20:24, 20:24].min() > 65000
    assert (read.pixels[:4] == 0).all()
