"""Collections of full-size practice films, as CBIS-DDSM is distributed: a few are drawn, the others are repeats."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from mammofill.ground.progress import LineProgress
from mammofill.phantom import PhantomSettings, write_phantoms

HEIGHT_PX, WIDTH_PX = 5300, 3130
"""The mean size of the films of CBIS-DDSM."""
DRAWN_PATIENTS = 4
"""Two views each."""


def make_collection(folder: Path, mammograms: int, codec: str) -> Path:
    """Make a collection with a number of full-size mammograms.

    Args:
        folder: where collections are kept; what is already there is used again.
        mammograms: how many, even.
        codec: raw (uncompressed, as CBIS-DDSM) or jpeg2000 (lossless).

    Returns:
        Folder of the collection. Repeats of a film are hard links under another patient's name.
    """
    drawn = _drawn(folder, codec)
    out = folder / f"{codec}-{mammograms}"
    if out.is_dir():
        return out
    tables = {path.name: path.read_bytes().decode().split("\r\n") for path in drawn.glob("*.csv")}
    copies: dict[str, list[str]] = {name: lines[:1] for name, lines in tables.items()}
    count = 0
    for copy in range(-(-mammograms // (2 * DRAWN_PATIENTS))):
        for number in range(DRAWN_PATIENTS):
            if count == mammograms:
                break
            count += 2
            old, new = (f"P_{90_001 + one:05d}" for one in (number, copy * DRAWN_PATIENTS + number))
            for name, lines in tables.items():
                text = "\r\n".join(lines[1:])
                rows = re.findall(rf'^{old},.*?"[^"]*"(?:,[^\r\n]*)?', text, flags=re.MULTILINE | re.DOTALL)
                copies[name].extend(row.replace(old, new) for row in rows)
            for path in drawn.glob(f"CBIS-DDSM/*{old}*/**/*.dcm"):
                linked = out / str(path.relative_to(drawn)).replace(old, new)
                linked.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, linked)
    for name, lines in copies.items():
        (out / name).write_text("\r\n".join([*lines, ""]), newline="")
    return out


def _drawn(folder: Path, codec: str) -> Path:
    raw = folder / "drawn-raw"
    settings = PhantomSettings(patients=DRAWN_PATIENTS, height_px=HEIGHT_PX, width_px=WIDTH_PX, monochrome1_share=0)
    write_phantoms(raw, settings, seed=1, progress=LineProgress())
    if codec == "raw":
        return raw
    compressed = folder / f"drawn-{codec}"
    for path in sorted(raw.rglob("*")):
        target = compressed / path.relative_to(raw)
        if target.exists() or path.is_dir() or path.name == "artifact.json":
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".dcm":
            dataset = dcmread(path)
            dataset.compress(JPEG2000Lossless)
            dataset.save_as(target)
        else:
            target.write_bytes(path.read_bytes())
    return compressed
