"""A collection is one row, also one that another package brings."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammofill.audit import AuditSettings, audit
from mammofill.ground.errors import SettingsError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.sources.collections import COLLECTIONS, collection_names

READER = """
from pathlib import Path

from mammofill.mammograms.sources.annotations import Collection, MammogramEntry
from mammofill.mammograms.sources.collections import CollectionReader


def read(source, settings):
    entries = (
        MammogramEntry(path.stem, path.stem, "left", "cc", (path,), ()) for path in sorted(Path(source).glob("*.png"))
    )
    return Collection(tuple(entries), ())


CLINIC = CollectionReader(read, lambda source: (Path(source) / "clinic.txt").is_file())
NONSENSE = "no reader"
"""


@pytest.fixture
def _a_package_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site"
    about = place / "clinic_mammograms-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: clinic-mammograms\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[mammofill.collections]\n"
        "our-clinic = clinic_mammograms:CLINIC\n"
        "no-reader = clinic_mammograms:NONSENSE\n"
        "lost = clinic_mammograms.nowhere:CLINIC\n"
        "table = clinic_mammograms:CLINIC\n"
    )
    (place / "clinic_mammograms.py").write_text(READER)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "clinic_mammograms", raising=False)


@pytest.mark.usefixtures("_a_package_is_installed")
def test_a_collection_of_another_package_is_read_audited_and_recognised(tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    for number, name in enumerate("abc"):
        picture = np.random.default_rng(number).integers(60, 200, (48, 32)).astype(np.uint8)
        cv2.imwrite(str(source / f"{name}.png"), picture)
    (source / "clinic.txt").touch()
    found = ingest(source, tmp_path / "out", IngestSettings(collection="our-clinic", height_px=None))
    assert found.mammograms["mammogram_id"].tolist() == ["a", "b", "c"]
    assert audit(source, AuditSettings()).collection == "our-clinic"


@pytest.mark.usefixtures("_a_package_is_installed")
def test_what_another_package_cannot_do(tmp_path: Path) -> None:
    assert collection_names()[: len(COLLECTIONS)] == tuple(COLLECTIONS)
    assert collection_names().count("table") == 1  # a name of ours stays ours
    for name, words in (
        ("no-reader", r"no-reader .clinic_mammograms:NONSENSE. must be a CollectionReader, but is str"),
        ("lost", "lost .clinic_mammograms.nowhere:CLINIC. cannot be loaded"),
    ):
        with pytest.raises(SettingsError, match=words):
            ingest(tmp_path, tmp_path / "out", IngestSettings(collection=name))
    with pytest.raises(SettingsError, match="collection must be one of cbis-ddsm.*table, our-clinic, no-reader"):
        IngestSettings(collection="unheard-of")
