"""Collections that are ingested from an object store: the same sets as from a disk, part by part, and nothing stays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from collections_on_disk import Case, breast_picture, lesion_mask, write_cbis, write_mini_mias
from local_store import SECRET, bucket
from published_layouts import write_cesm, write_inbreast, write_vindr
from stop_after_two import StopAfterTwo

from mammofill.cli import main
from mammofill.experiment.listing import listing
from mammofill.export.source import collection_of
from mammofill.ground.artifact import PARTIAL
from mammofill.ground.errors import PlanChangedError, SettingsError, SourceError, StoreError
from mammofill.ground.progress import Progress
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.whereabouts import InStore

# What s3fs and the server of moto leave open when the test is over is theirs to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ONE_BY_ONE = 1e-6
"""GB: less than any file here has, so that each mammogram is fetched when the one before it is read."""

CBIS = IngestSettings(split="patients", test_share=0.3, fetched_gb=ONE_BY_ONE)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with bucket() as url:
        yield url


@pytest.fixture
def url(s3: str, tmp_path: Path) -> str:
    """Return a place in the store that is this test's own."""
    return f"{s3}/{tmp_path.name}"


def sent(folder: Path, url: str) -> str:
    """Put a folder into the store."""
    store().put(f"{folder}/", f"{url}/", recursive=True)
    return url


def store() -> Any:
    import s3fs

    return s3fs.S3FileSystem()


def write_table(folder: Path, patients: int = 3) -> Path:
    """Write a table, its images, and one mask that is that of two images."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["image,mask,patient,pathology"]
    mask = lesion_mask(Case()).astype(np.uint8) * 255
    for number in range(patients):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), (breast_picture(number) // 4).astype(np.uint16))
        cv2.imwrite(str(folder / "masks" / f"mask-{number}.png"), np.roll(mask, number, axis=0))
        word = ("benign", "malignant")[number % 2]
        rows.append(f"images/{number}.png,masks/mask-{number}.png,p{number},{word}")
    table = folder / "own.csv"
    table.write_text("\n".join([*rows, ""]))
    return table


class Fetched:
    """Notes what is fetched, in the order in which it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[set[str]] = []
        fetch = InStore._fetch

        def noted(store: InStore, names: Iterable[str], folder: Path) -> None:
            self.parts.append(set(names))
            fetch(store, self.parts[-1], folder)

        monkeypatch.setattr(InStore, "_fetch", noted)

    @property
    def images(self) -> list[str]:
        return [name for part in self.parts for name in sorted(part) if not name.endswith(".csv")]


# ---- the same sets --------------------------------------------------------------------------------------------------


def test_cbis_ddsm_part_by_part(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(f"P_{number:05d}") for number in range(4)], "tcia")
    fetched, there = Fetched(monkeypatch), sent(source, url)
    found = ingest(there, tmp_path / "far", CBIS)
    assert found.fingerprint == ingest(source, tmp_path / "near", CBIS).fingerprint
    assert [len(part) for part in fetched.parts] == [2, 3, 3, 3, 3, 0]  # tables; image, mask and crop of each
    assert [(one.role, one.kind, one.path, one.fingerprint) for one in found.manifest.inputs] == [
        ("source", "folder", there, "")
    ]
    assert found.manifest.inputs[0].place(found.folder) == there
    assert f"source {there}" in listing(tmp_path)
    with pytest.raises(SourceError, match=rf"was read from {there}, which the export does not fetch.* --collection"):
        collection_of(found, None)


def test_a_table_and_what_lies_beside_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "own")
    sent(table.parent, url)
    fetched, flags = Fetched(monkeypatch), ("--test-share", "0.3", "--fetched-gb", str(ONE_BY_ONE), "--plain")
    assert main(["ingest", "table", f"{url}/own.csv", "--out", str(tmp_path / "far"), "--workers", "2", *flags]) == 0
    assert main(["ingest", "table", f"{url}/own.csv", "--out", str(tmp_path / "far"), "--dry-run"]) == 0
    told = "".join(capfd.readouterr())
    assert f"source: {url}/own.csv" in told
    assert main(["ingest", "table", str(table), "--out", str(tmp_path / "near"), *flags]) == 0
    far, near = MammogramSet.open(tmp_path / "far"), MammogramSet.open(tmp_path / "near")
    assert far.fingerprint == near.fingerprint
    assert fetched.images == [f"{kind}{number}.png" for number in range(3) for kind in ("images/", "masks/mask-")]
    (record,), (other,) = far.manifest.inputs, near.manifest.inputs
    assert (record.path, record.fingerprint) == (f"{url}/own.csv", other.fingerprint)
    files = [path for path in (tmp_path / "far").rglob("*") if path.is_file()]
    assert SECRET not in told
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert not {"own.csv", "mask-0.png"} & {path.name for path in files}


def test_other_collections(url: str, tmp_path: Path) -> None:
    rois = {"1": [("Mass", [(5, 10), (15, 10), (15, 22), (5, 22)])]}
    vindr = "s1,e,i1,L,CC,60,40,BI-RADS 4,DENSITY C,['Mass'],BI-RADS 4,5,10,20,30,training"
    (tmp_path / "mini-mias").mkdir()
    written = {
        "inbreast": write_inbreast(tmp_path / "inbreast", ["L;CC;1;2;5"], {"1": "abc"}, rois),
        "vindr-mammo": write_vindr(tmp_path / "vindr-mammo", [vindr], [("s1", "i1")]),
        "cdd-cesm": write_cesm(
            tmp_path / "cdd-cesm", [("P1_L_DM_CC", "Mass", "Malignant")], None, ["P1_L_DM_CC.jpg"], ["P1_L_DM_CC.jpg"]
        ),
        "mini-mias": write_mini_mias(tmp_path / "mini-mias", ["mdb001 G CIRC B 100 900 20"], ["mdb001"]),
    }
    for name, source in written.items():
        settings = IngestSettings(collection=name, abnormality="all", height_px=64)
        far = ingest(sent(source, f"{url}/{name}"), tmp_path / f"{name}-far", settings)
        assert far.fingerprint == ingest(source, tmp_path / f"{name}-near", settings).fingerprint, name
        assert len(far.lesions) == 1, name


# ---- stopped, and changed meanwhile ---------------------------------------------------------------------------------


def test_a_stopped_ingest_reads_again_only_what_was_changed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "own", patients=4)
    there, settings = f"{sent(table.parent, url)}/own.csv", IngestSettings(collection="table", fetched_gb=ONE_BY_ONE)
    with pytest.raises(KeyboardInterrupt):
        ingest(there, tmp_path / "far", settings, progress=StopAfterTwo())
    assert not (tmp_path / f"far{PARTIAL}" / ".scratch" / "fetched").exists()
    image = table.parent / "images" / "0.png"
    cv2.imwrite(str(image), (breast_picture(77) // 4).astype(np.uint16))
    store().put_file(str(image), f"{url}/images/0.png")
    fetched = Fetched(monkeypatch)
    found = ingest(there, tmp_path / "far", settings)
    assert fetched.images == ["images/0.png", "masks/mask-0.png", "images/3.png", "masks/mask-3.png"]
    assert found.fingerprint == ingest(table, tmp_path / "near", settings).fingerprint
    assert ingest(there, tmp_path / "far", settings).fingerprint == found.fingerprint
    store().pipe_file(f"{url}/own.csv", table.read_bytes().replace(b"benign", b"malignant"))
    with pytest.raises(PlanChangedError, match="inputs.source"):
        ingest(there, tmp_path / "far", settings)


class Meanwhile(Progress):
    """Does something when the collection was listed, and before its pictures are fetched."""

    def __init__(self, do: Any) -> None:
        self.do = do

    def say(self, text: str) -> None:
        if "mammograms of" in text:
            self.do()


def test_an_object_that_is_changed_or_goes_while_it_is_read(url: str, tmp_path: Path) -> None:
    table = write_table(tmp_path / "own")
    there, settings = f"{sent(table.parent, url)}/own.csv", IngestSettings(collection="table")
    whole = (table.parent / "images" / "1.png").read_bytes()
    name = f"{url}/images/1.png"
    for do, words in (
        (lambda: store().pipe_file(name, whole[::-1]), "was changed while the collection was read"),  # as many bytes
        (lambda: store().rm_file(name), "it is not there"),
    ):
        with pytest.raises(StoreError, match=f"{name}.* {words}"):
            ingest(there, tmp_path / "far", settings, progress=Meanwhile(do))
        assert not (tmp_path / "far").exists()
        store().pipe_file(name, whole)
    assert (
        ingest(there, tmp_path / "far", settings).fingerprint == ingest(table, tmp_path / "near", settings).fingerprint
    )


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_a_reader_that_opens_images_is_refused_before_the_store_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"s3://no/cmmd is a URL, and the reader of cmmd .* cbis-ddsm, .*, table\."):
        ingest("s3://no/cmmd", tmp_path / "out", IngestSettings(collection="cmmd"))
    with pytest.raises(SettingsError, match="keep_images is false, but s3://no/cbis is in a store"):
        ingest("s3://no/cbis", tmp_path / "out", IngestSettings(keep_images=False))
    with pytest.raises(SourceError, match=r"abfs://b/t.csv is a URL, .* only from s3:// and gs://"):
        ingest("abfs://b/t.csv", tmp_path / "out", IngestSettings(collection="table"))
    with pytest.raises(SourceError, match=r"s3://b/a.csv is a URL, .* Copy it to a disk first"):
        ingest(tmp_path, tmp_path / "out", CBIS, attributes="s3://b/a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["one folder", "nbia"])
def test_a_layout_in_which_headers_say_whose_a_file_is(url: str, tmp_path: Path, layout: Any) -> None:
    there = sent(write_cbis(tmp_path / "cbis", [Case()], layout), url)
    with pytest.raises(SourceError, match=rf"^{there}/.* would have to be opened .* Copy it to a disk first"):
        ingest(there, tmp_path / "out", CBIS)
    assert not (tmp_path / "out").exists()


def test_what_a_table_names_lies_beside_it(url: str, tmp_path: Path) -> None:
    table = write_table(tmp_path / "own")
    settings = IngestSettings(collection="table")
    store().pipe_file(f"{url}/own.csv", table.read_bytes().replace(b"images/", f"{table.parent}/images/".encode()))
    with pytest.raises(
        SourceError, match=rf"{url}/own.csv names the file {table.parent}/images/0.png of 0, which does"
    ):
        ingest(f"{url}/own.csv", tmp_path / "out", settings)
    with pytest.raises(SourceError, match=f"{url}/nothing: there is no object there or below"):
        ingest(f"{url}/nothing", tmp_path / "out", settings)
    store().pipe_file(f"{url}/a\\b.png", b"x")
    with pytest.raises(SourceError, match=r"the object 'a\\\\b.png' cannot be a file on this machine"):
        ingest(f"{url}/own.csv", tmp_path / "out", settings)
    store().rm_file(f"{url}/a\\b.png")
    store().pipe_file(f"{url}/a//b.png", b"x")
    with pytest.raises(SourceError, match=r"the object 'a//b.png' cannot be .* a part without a name"):
        ingest(f"{url}/own.csv", tmp_path / "out", settings)
    with pytest.raises(StoreError, match="s3://no-bucket/.*bucket"):
        ingest("s3://no-bucket/own.csv", tmp_path / "out", settings)


def test_errors_and_tables_name_the_store_and_not_the_scratch_folder(url: str, tmp_path: Path) -> None:
    table = write_table(tmp_path / "own")
    there, settings = f"{sent(table.parent, url)}/own.csv", IngestSettings(collection="table")
    store().pipe_file(f"{url}/own.csv", table.read_bytes() + b"s3://b/3.png,,p9,normal\n")
    store().pipe_file(f"{url}/images/2.png", b"no picture")
    store().rm_file(f"{url}/images/1.png")
    told = ingest(there, tmp_path / "far", settings).exclusions["found"].str.cat(sep="\n")
    assert "images/1.png does not exist" in told
    assert "images/2.png" in told
    assert os.fspath(tmp_path) not in told
    assert "fetched" not in told
    assert "s3:/b/3.png does not exist. URLs in tables are not understood: put the table beside the files" in told
    store().pipe_file(f"{url}/own.csv", b"image,mask\n")
    with pytest.raises(SourceError, match=f"^{there} lacks the columns patient, pathology"):
        ingest(there, tmp_path / "out", settings)


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="gcsfs is installed, and would ask the real store")
def test_a_url_of_gs_is_understood_up_to_the_library_for_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="gs:// needs a library that is not installed: .*gcsfs"):
        ingest("gs://b/t.csv", tmp_path / "out", IngestSettings(collection="table"))
