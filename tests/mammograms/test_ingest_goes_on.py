"""A stopped ingest goes on with what the tables say now, and with files that are whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collections_on_disk import Case, breast_picture, lesion_mask, write_cbis
from stop_after_two import StopAfterTwo

from mammofill import dicom
from mammofill.ground.artifact import check_content
from mammofill.ground.errors import DamagedError, PlanChangedError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.sources.cmmd import read_cmmd
from mammofill.mammograms.sources.csv_table import files_under

CBIS = IngestSettings(split="patients", test_share=0.3)


def stopped(tmp_path: Path) -> tuple[Path, Path]:
    """Return a collection, and the folder of a set that was begun from it."""
    source = write_cbis(tmp_path / "cbis", [Case(f"P_{number:05d}") for number in range(4)])
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", CBIS, progress=StopAfterTwo())
    partial = tmp_path / "out.partial"
    assert len(list((partial / ".scratch").glob("*.json"))) >= 2
    return source, partial


def check_as_fresh(source: Path, tmp_path: Path) -> None:
    found = ingest(source, tmp_path / "out", CBIS)
    check_content(found)  # read again: hashes taken on the way say nothing of a file that was lost since
    assert found.fingerprint == ingest(source, tmp_path / "fresh", CBIS).fingerprint


@pytest.mark.parametrize("folder", ["images", "masks", "tissue", ".scratch"])
@pytest.mark.parametrize("left", [b"", None], ids=["emptied", "lost"])
def test_what_a_power_cut_took_is_made_again(tmp_path: Path, folder: str, left: bytes | None) -> None:
    source, partial = stopped(tmp_path)
    path = min((partial / folder).iterdir())
    path.unlink() if left is None else path.write_bytes(left)
    check_as_fresh(source, tmp_path)


def test_rows_that_another_version_noted_are_made_again(tmp_path: Path) -> None:
    source, partial = stopped(tmp_path)
    for path in (partial / ".scratch").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "gray"}))
    check_as_fresh(source, tmp_path)


def test_tables_that_changed_meanwhile_are_followed(tmp_path: Path) -> None:
    source, _ = stopped(tmp_path)
    write_cbis(source, [Case(f"P_{number:05d}", pathology="BENIGN") for number in range(7)])
    check_as_fresh(source, tmp_path)


@pytest.mark.parametrize(
    "other",
    [{"picture": breast_picture()[::-1].copy()}, {"mask": np.roll(lesion_mask(Case("P_00000")), 1, axis=0)}],
    ids=["image", "mask"],
)
def test_a_source_that_was_replaced_meanwhile_is_read_again(tmp_path: Path, other: dict[str, Any]) -> None:
    """Also by one of the same size and time, as ``cp -p`` and ``rsync -t`` leave it."""
    source, _ = stopped(tmp_path)
    before = {path: path.stat() for path in source.rglob("*.dcm")}
    write_cbis(source, [Case(f"P_{number:05d}", **other) for number in range(4)])
    for path, was in before.items():
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        assert path.stat().st_size == was.st_size
    check_as_fresh(source, tmp_path)


def test_a_plan_of_an_older_version_is_a_changed_plan(tmp_path: Path) -> None:
    source, partial = stopped(tmp_path)
    plan = json.loads((partial / "plan.json").read_text())
    del plan["device"]
    (partial / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(PlanChangedError, match=r"device: was '\(not set\)', now None"):
        ingest(source, tmp_path / "out", CBIS)


def test_a_plan_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    source, partial = stopped(tmp_path)
    (partial / "plan.json").write_text("{")
    with pytest.raises(DamagedError, match="plan.json cannot be read"):
        ingest(source, tmp_path / "out", CBIS)


def test_sets_made_inside_a_collection_are_no_part_of_it(tmp_path: Path) -> None:
    for name in ("a.png", "set/images/a.png", "set/tissue/a.png", "set/artifact.json", "b/images/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in files_under(tmp_path, (".png",))]
    assert found == ["a.png", "b/images/c.png"]


def test_names_that_cmmd_files_share_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "clinical.csv").write_text("ID1,LeftRight,abnormality,classification\nD1-0001,L,mass,Benign\n")
    for number, place in enumerate(["s1/1-1", "s2/1-1", "s2/1-1-2"]):
        path = tmp_path / "D1-0001" / f"{place}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 3), number, np.uint16)
        dicom.write_image(path, pixels, patient_id="D1-0001", uid_names=(place,), laterality="L", view="CC")
    found = read_cmmd(tmp_path, IngestSettings(collection="cmmd"))
    assert len({entry.mammogram_id for entry in found.mammograms}) == 3
