"""Mutated files of every kind through the doors by which they come in: nothing may crash, hang or end in a traceback.

    python tests/campaigns/mutations.py --seed 0 --count 10000 --minutes 60

Each mutation is a damaged copy of a small sound file: bits flipped, parts cut out, doubled or replaced, numbers and
words exchanged. Images go through `ingest` by the dozen; tables and XML through `ingest` as well; study files through
`read_study`; artifacts through the stage that reads them. What counts is that every one of them is read, or refused by
an error of ours, that the rest of its batch is there, and that this process lives on.

Ends with 1 and says which seed and number it was if one of them did anything else.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from command import run_campaign
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from mammofill import dicom
from mammofill.experiment import read_study
from mammofill.ground.artifact import verify
from mammofill.ground.errors import MammofillError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, extract_patches

_IMAGES_AT_A_TIME = 24
_SLOWEST_SECONDS = 60.0
"""Longest time for one image."""

Random = np.random.Generator


# ---- sound files ----------------------------------------------------------------------------------------------------


def picture(seed: int, shape: tuple[int, int] = (64, 48)) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 1, shape)
    shown = np.clip(cv2.GaussianBlur(grain, (0, 0), 2) * 4000 + 2000, 0, 4095)
    shown[:, shape[1] * 2 // 3 :] = 20
    return shown.astype(np.uint16)


def mask() -> np.ndarray:
    drawn = np.zeros((64, 48), np.uint8)
    drawn[20:36, 8:22] = 255
    return drawn


def sound_images(folder: Path) -> list[Path]:
    """Write a small image in every format and transfer syntax that can be written here."""
    folder.mkdir()
    pixels = picture(0)
    dicom.write_image(folder / "plain.dcm", pixels, patient_id="P1", uid_names=("x",), bits=12)
    for name, syntax in (("rle", RLELossless), ("jpegls", JPEGLSLossless), ("j2k", JPEG2000Lossless)):
        dataset = dcmread(folder / "plain.dcm")
        try:
            dataset.compress(syntax)
            dataset.save_as(folder / f"{name}.dcm")
        except (RuntimeError, ValueError, NotImplementedError) as error:
            print(f"no {name}: {error}", file=sys.stderr)
    dataset = dcmread(folder / "plain.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.WindowCenter, dataset.WindowWidth = 2000, 1000
    dataset.add_new("PixelPaddingValue", "US", 4095)
    dataset.save_as(folder / "deflated.dcm")
    for name in ("a.png", "a.tif", "a.pgm"):
        cv2.imwrite(str(folder / name), pixels)
    for name in ("b.png", "b.jpg", "b.pgm", "b.tif"):
        cv2.imwrite(str(folder / name), (pixels >> 4).astype(np.uint8))
    return sorted(folder.iterdir())


# ---- mutations ------------------------------------------------------------------------------------------------------


def mutate(content: bytes, random: Random) -> bytes:
    """Damage bytes in one to three of several ways."""
    for _ in range(int(random.integers(1, 4))):
        content = _WAYS[int(random.integers(len(_WAYS)))](bytearray(content), random)
    return content


def _flip(content: bytearray, random: Random) -> bytes:
    for _ in range(int(random.integers(1, 9))):
        if content:
            content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    return bytes(content)


def _flip_head(content: bytearray, random: Random) -> bytes:
    for _ in range(int(random.integers(1, 5))):
        if content:
            content[int(random.integers(min(len(content), 1200)))] = int(random.integers(256))
    return bytes(content)


def _cut(content: bytearray, random: Random) -> bytes:
    return bytes(content[: int(random.integers(len(content) + 1))])


def _cut_out(content: bytearray, random: Random) -> bytes:
    start = int(random.integers(len(content) + 1))
    del content[start : start + int(random.integers(1, 64))]
    return bytes(content)


def _double(content: bytearray, random: Random) -> bytes:
    start = int(random.integers(len(content) + 1))
    part = content[start : start + int(random.integers(1, 200))]
    return bytes(content[:start] + part * int(random.integers(1, 5)) + content[start:])


def _numbers(content: bytearray, random: Random) -> bytes:
    if len(content) > 4:
        at = int(random.integers(len(content) - 4))
        content[at : at + 4] = random.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\x7f\xff\x7f", b"\0\0\0\x80"])
    return bytes(content)


def _words(content: bytearray, random: Random) -> bytes:
    nasty = [
        b"../../x",
        b"=1+1",
        b"nan",
        b"1e999",
        b"9" * 5000,
        b"\0",
        b",",
        b'"',
        b"[" * 3000,
        b"\xff\xfe",
        b"-1",
        b"",
    ]
    at = int(random.integers(len(content) + 1))
    return bytes(content[:at] + nasty[int(random.integers(len(nasty)))] + content[at + int(random.integers(9)) :])


_WAYS: tuple[Callable[[bytearray, Random], bytes], ...] = (
    _flip, _flip_head, _cut, _cut_out, _double, _numbers, _words,
)  # fmt: skip


# ---- the doors ------------------------------------------------------------------------------------------------------


def try_images(folder: Path, random: Random, count: int) -> Iterator[str]:
    """Put mutated images, half of them masks, into one table with two sound ones, and ingest it."""
    sound = sound_images(folder / "sound")
    for name in ("mask.png", "other.png"):
        cv2.imwrite(str(folder / name), mask())
    rows = []
    for number in range(count):
        whole = sound[int(random.integers(len(sound)))]
        damaged = folder / f"{number:03d}{whole.suffix}"
        damaged.write_bytes(mutate(whole.read_bytes(), random))
        if number % 4:
            rows.append([damaged.name, "", f"q{number}x", "normal"])
        else:
            rows.append(["sound/b.png", damaged.name, "marked", "benign"])  # lost if one of its masks kills its reader
    rows += [
        ["sound/plain.dcm", "mask.png", "whole", "benign"],
        ["sound/a.png", "other.png", "other", "malignant"],
    ]
    write_table(folder / "own.csv", rows)
    began = time.monotonic()
    settings = IngestSettings(collection="table", height_px=None, split="patients", read_seconds=_SLOWEST_SECONDS)
    found = ingest(folder / "own.csv", folder / "out", settings)
    files = set(found.mammograms["source_file"])
    assert {"sound/plain.dcm", "sound/a.png"} <= files, f"the sound ones are gone: {files}"
    marked = set(found.lesions["source_file"])
    assert "mask.png" in marked, f"the sound lesions are gone: {marked}"
    assert time.monotonic() - began < _SLOWEST_SECONDS * count, "slow"
    rules = Counter(found.exclusions["rule"])
    left = count
    for rule, times in rules.items():
        yield from [f"image {rule}"] * times
        left -= times
    yield from ["image read"] * max(left, 0)


def write_table(path: Path, rows: list[list[str]]) -> None:
    pd.DataFrame(rows, columns=["image", "mask", "patient", "pathology"]).to_csv(path, index=False)


def try_table(folder: Path, random: Random) -> str:
    """Ingest one collection whose tables (or XML) were damaged."""
    kind = ["table", "mini-mias", "vindr-mammo", "inbreast", "cmmd", "cdd-cesm"][int(random.integers(6))]
    for path in _write_collection(folder, kind):
        path.write_bytes(mutate(path.read_bytes(), random))
    settings = IngestSettings(collection=kind, height_px=None, abnormality="all", split="patients")
    try:
        ingest(folder, folder.with_name("out"), settings)
    except MammofillError as error:
        return f"{kind} {type(error).__name__}"
    return f"{kind} read"


def _write_collection(folder: Path, kind: str) -> list[Path]:
    """Write a small collection; return the tables of it that are to be damaged."""
    folder.mkdir()
    pixels = picture(1)
    if kind == "table":
        cv2.imwrite(str(folder / "a.png"), pixels)
        cv2.imwrite(str(folder / "m.png"), mask())
        write_table(folder / "own.csv", [["a.png", "m.png", "P1", "benign"], ["a.png", "", "P1", "malignant"]])
        return [folder / "own.csv"]
    if kind == "mini-mias":
        cv2.imwrite(str(folder / "mdb001.pgm"), np.tri(1024, dtype=np.uint8) * 90)
        (folder / "Info.txt").write_text("INFO\n\nmdb001 G CIRC B 535 425 197\nmdb002 D NORM\n")
        return [folder / "Info.txt"]
    if kind == "cdd-cesm":
        cv2.imwrite(str(folder / "P1_L_DM_CC.jpg"), (pixels >> 4).astype(np.uint8))
        header = "Image_name,Pathology Classification/ Follow up,Breast density (ACR),BIRADS,Findings\n"
        (folder / "t.csv").write_text(header + "P1_L_DM_CC,Malignant,B,5,mass\n")
        shape = '"{""name"":""circle"",""cx"":20,""cy"":20,""r"":6}"'
        (folder / "d.csv").write_text(f"#filename,region_shape_attributes\nP1_L_DM_CC.jpg,{shape}\n")
        return [folder / "t.csv", folder / "d.csv"]
    facts = {"uid_names": ("x",), "bits": 12, "laterality": "L", "view": "CC"}
    if kind == "cmmd":
        (folder / "D1-0001").mkdir()
        dicom.write_image(folder / "D1-0001" / "1-1.dcm", pixels, patient_id="D1-0001", **facts)  # type: ignore[arg-type]
        (folder / "t.csv").write_text("ID1,LeftRight,abnormality,classification\nD1-0001,L,mass,Benign\n")
        return [folder / "t.csv"]
    if kind == "vindr-mammo":
        (folder / "s1").mkdir()
        dicom.write_image(folder / "s1" / "i1.dicom", pixels, patient_id="s1", **facts)  # type: ignore[arg-type]
        header = ("study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
                  "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split\n")  # fmt: skip
        row = "s1,e,i1,L,CC,64,48,BI-RADS 4,DENSITY C,['Mass'],BI-RADS 4,9,19,22,35,training\n"
        (folder / "finding_annotations.csv").write_text(header + row)
        return [folder / "finding_annotations.csv"]
    dicom.write_image(folder / "1_abc_MG_L_CC_ANON.dcm", pixels, patient_id="removed", **facts)  # type: ignore[arg-type]
    (folder / "t.csv").write_text("File Name;Laterality;View;ACR;Bi-Rads\n1;L;CC;2;5\n")
    points = "".join(f"<string>({x}, {y})</string>" for x, y in ((9, 20), (20, 20), (20, 34), (9, 34)))
    (folder / "1.xml").write_text(
        '<?xml version="1.0"?><plist version="1.0"><dict><key>Images</key><array><dict><key>ROIs</key><array><dict>'
        f"<key>Name</key><string>Mass</string><key>Point_px</key><array>{points}</array></dict></array></dict></array>"
        "</dict></plist>"
    )
    return [folder / "t.csv", folder / "1.xml"]


STUDY = """
name = "s"
seed = 3
[phantom]
patients = 12
[ingest]
height_px = 192
[extract-patches]
size_px = 32
[train-infiller]
preset = "flow-small"
[[arms]]
name = "real only"
[[arms]]
name = "both"
synthetic = true
[grid]
classifiers = 2
doses = [1, 0.5]
"""


def try_study(folder: Path, random: Random) -> str:
    """Read one damaged study file."""
    path = folder.with_suffix(".toml")
    path.write_bytes(mutate(STUDY.encode(), random))
    try:
        read_study(path)
    except MammofillError as error:
        return f"study {type(error).__name__}"
    return "study read"


def try_artifact(folder: Path, random: Random, sound: Path) -> str:
    """Give a stage a set of mammograms of which one file was damaged."""
    shutil.copytree(sound, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    damaged = files[int(random.integers(len(files)))]
    before = damaged.read_bytes()
    damaged.write_bytes(mutate(before, random))
    if damaged.read_bytes() == before:
        return "artifact untouched"
    try:
        mammograms = MammogramSet.open(folder)
        verify(mammograms)
        extract_patches(mammograms, folder.with_name("patches"), ExtractPatchesSettings(size_px=32, stride_px=16))
    except MammofillError as error:
        return f"artifact {type(error).__name__}"
    told = json.loads((sound / "artifact.json").read_text())
    now = json.loads((folder / "artifact.json").read_text())
    harmless = damaged.name == "artifact.json" and told["hashes"] == now["hashes"]
    assert harmless, f"{damaged.relative_to(folder)} was changed, and nobody noticed"
    return "artifact read"


# ---- the campaign ---------------------------------------------------------------------------------------------------


def campaign(seed: int, count: int, minutes: float) -> tuple[Counter[str], list[str]]:
    """Try `count` mutations, six of ten of them images; return what became of them, and what must not have been."""
    became: Counter[str] = Counter()
    faults: list[str] = []
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="mammofill-mutations-") as place:
        sound = _sound_set(Path(place))
        batch = 0
        while became.total() + len(faults) < count and time.monotonic() < until:
            folder = Path(place, f"{batch}")
            folder.mkdir()
            random = np.random.default_rng([seed, batch])
            left = count - became.total()
            share = min(_IMAGES_AT_A_TIME, max(1, left * 6 // 10))
            _tried(became, faults, (seed, batch, "images"), lambda f=folder, r=random, n=share: try_images(f, r, n))
            for number in range(max(1, share // 4)):
                if time.monotonic() > until:
                    break
                place_of_one = folder / f"one-{number}"
                place_of_one.mkdir()
                for name, one in (("table", try_table), ("study", try_study)):
                    inner = place_of_one / name
                    _tried(
                        became, faults, (seed, batch, name, number), lambda f=inner, r=random, t=one: iter([t(f, r)])
                    )
                inner = place_of_one / "set"
                _tried(became, faults, (seed, batch, "set", number),
                       lambda f=inner, r=random: iter([try_artifact(f, r, sound)]))  # fmt: skip
            shutil.rmtree(folder)
            batch += 1
            print(f"{became.total():,} of {count:,}, {len(faults)} faults", file=sys.stderr, flush=True)
    return became, faults


def _tried(
    became: Counter[str], faults: list[str], where: tuple[object, ...], one: Callable[[], Iterator[str]]
) -> None:
    try:
        became.update(one())
    except MammofillError as error:
        became[f"{where[2]} {type(error).__name__}"] += 1
    except Exception:  # noqa: BLE001  (that there is one is what is looked for)
        faults.append(f"{where}\n{traceback.format_exc()}")


def _sound_set(place: Path) -> Path:
    (place / "source").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(place / "source" / f"{name}.png"), picture(ord(name), (96, 80)) * 16)
    drawn = np.zeros((96, 80), np.uint8)
    drawn[40:52, 20:34] = 255
    for name in ("ma", "mb"):
        cv2.imwrite(str(place / "source" / f"{name}.png"), drawn)
    rows = [["a.png", "ma.png", "P1", "benign"], ["b.png", "mb.png", "P2", "malignant"]]
    write_table(place / "source" / "own.csv", rows)
    return ingest(place / "source", place / "set", IngestSettings(collection="table", height_px=None)).folder


if __name__ == "__main__":
    sys.exit(run_campaign(campaign, __doc__.splitlines()[0], 10_000, 60.0))
