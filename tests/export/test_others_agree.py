"""What others say of our objects: a validator (dicom3tools) and a PACS (Orthanc), where they are installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from painted import SIZE, painted

from mammofill.export import DicomExport, export_dicom
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches

pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom-out)")

DIGITAL = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture(scope="module")
def film(fills: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> DicomExport:
    return export_dicom(fills, tmp_path_factory.mktemp("film") / "out")


@pytest.fixture(scope="module")
def digital(mammograms: MammogramSet, tmp_path_factory: pytest.TempPathFactory) -> DicomExport:
    """The same from a mammogram that says that it is digital."""
    folder = tmp_path_factory.mktemp("digital")
    row = mammograms.mammograms[mammograms.mammograms["split"] == "train"].iloc[0]
    lesion = mammograms.lesions[mammograms.lesions["mammogram_id"] == row["mammogram_id"]].iloc[0]
    phantoms = mammograms.folder.parent / "phantoms"
    image = pydicom.dcmread(phantoms / row["source_file"])
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = DIGITAL
    image.PresentationIntentType, image.ImagerPixelSpacing = "FOR PRESENTATION", [0.07, 0.07]
    image.PatientOrientation = ["A", "R"]
    image.PatientComments = "P_90001 lives here"
    (folder / "source").mkdir()
    image.save_as(folder / "source" / "image.dcm")
    shutil.copyfile(phantoms / lesion["source_file"], folder / "source" / "mask.dcm")
    table = {"image": "image.dcm", "mask": "mask.dcm", "patient": "A", "pathology": "benign", "laterality": "left",
             "view": "cc", "split": "train"}  # fmt: skip
    pd.DataFrame([table]).to_csv(folder / "source" / "table.csv", index=False)
    own = ingest(
        folder / "source", folder / "set", IngestSettings(collection="table", height_px=132, validation_share=0)
    )
    cut = ExtractPatchesSettings(size_px=SIZE, stride_px=8, normal_margin_px=0)
    patches = extract_patches(own, folder / "patches", cut)
    normal = patches.table.iloc[patches.rows(pathology="normal")]
    return export_dicom(painted(patches, normal.index[:1], folder / "fills"), folder / "out")


def test_a_digital_mammogram_stays_one(digital: DicomExport) -> None:
    image = pydicom.dcmread(digital.folder / "images" / "00001.dcm")
    assert image.SOPClassUID == DIGITAL
    assert (image.PresentationIntentType, list(image.ImagerPixelSpacing)) == ("FOR PRESENTATION", [0.07, 0.07])
    assert image.ViewCodeSequence[0].CodeValue == "399162004"
    assert "PatientComments" not in image


@pytest.mark.parametrize("which", ["film", "digital"])
def test_the_validator_finds_no_error(which: str, request: pytest.FixtureRequest) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    export: DicomExport = request.getfixturevalue(which)
    for path in sorted(export.folder.glob("*/*.dcm")):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
        # The one element that its dictionary does not know yet: SyntheticData.
        assert [line for line in errors if "0x0008,0x001c" not in line] == []


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """An empty Orthanc on loopback: the address of its REST interface, and its DICOM port."""
    missing = [name for name in ("Orthanc", "storescu", "getscu") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (Debian: orthanc, dcmtk)")
    web, port = _free_ports()
    settings = {
        "StorageDirectory": str(tmp_path / "pacs"), "IndexDirectory": str(tmp_path / "pacs"), "HttpPort": web,
        "DicomPort": port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAet": "ORTHANC",
        "DicomAlwaysAllowGet": True, "DicomAlwaysAllowStore": True, "Plugins": [],
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{web}/system", process)
            yield f"http://127.0.0.1:{web}", port
        finally:
            process.terminate()
            process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "Orthanc did not start"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("Orthanc did not answer")


def test_a_pacs_gives_back_what_it_was_given(
    film: DicomExport, digital: DicomExport, pacs: tuple[str, int], tmp_path: Path
) -> None:
    address, port = pacs
    given = [*sorted(film.folder.glob("*/00001.dcm")), *sorted(digital.folder.glob("*/*.dcm"))]
    subprocess.run(["storescu", "-R", "127.0.0.1", str(port), *map(str, given)], check=True, capture_output=True)
    for path in given:
        sent = pydicom.dcmread(path)
        for back in (_by_rest(address, sent), _by_get(port, sent, tmp_path / "got")):
            assert back.PixelData == sent.PixelData
            assert back.to_json_dict() == sent.to_json_dict()


def _by_rest(address: str, sent: pydicom.Dataset) -> pydicom.Dataset:
    asked = {"Level": "Instance", "Query": {"SOPInstanceUID": sent.SOPInstanceUID}}
    request = urllib.request.Request(f"{address}/tools/find", json.dumps(asked).encode())
    (name,) = json.loads(urllib.request.urlopen(request).read())
    with urllib.request.urlopen(f"{address}/instances/{name}/file") as file:
        return pydicom.dcmread(pydicom.filebase.DicomBytesIO(file.read()))


def _by_get(port: int, sent: pydicom.Dataset, folder: Path) -> pydicom.Dataset:
    """Fetch one instance by C-GET."""
    folder = folder / str(sent.SOPInstanceUID)
    folder.mkdir(parents=True)
    keys = {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": sent.StudyInstanceUID,
            "SeriesInstanceUID": sent.SeriesInstanceUID, "SOPInstanceUID": sent.SOPInstanceUID}  # fmt: skip
    wanted = [part for name, value in keys.items() for part in ("-k", f"{name}={value}")]
    subprocess.run(
        ["getscu", "-S", "-od", str(folder), *wanted, "127.0.0.1", str(port)], check=True, capture_output=True
    )
    (file,) = folder.iterdir()
    return pydicom.dcmread(file)
