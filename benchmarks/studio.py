"""How long until the studio shows a first fill, beside the infiller alone.

    python benchmarks/studio.py FOLDER --infiller infillers/flow --patches patches [--repeats 5]

Both paint six fills of one mask (benign and malignant from three seeds) and take turns: `paint_patch` in this process,
and the studio's answers to what the page asks, which looks for new fills every 150 ms. The browser's own drawing is
left out. The first turn of each, which imports and loads the network, is told by itself.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from mammofill.infilling import Infiller
from mammofill.patches import PatchSet
from mammofill.synthesis import HandFill, paint_patch, patch_of, refusal
from mammofill.web.access import Access
from mammofill.web.app import create_app
from mammofill.web.studio import Studio

HOST = "127.0.0.1:8765"
LOOKS_EVERY_S = 0.15
ASKED = [(pathology, seed) for pathology in ("benign", "malignant") for seed in range(3)]


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--infiller", required=True)
    parser.add_argument("--patches", required=True)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    patches, infiller = PatchSet.open(asked.folder / asked.patches), Infiller.open(asked.folder / asked.infiller)
    row, mask = a_place(patches, infiller)
    alone, studio = by_itself(infiller, patches, row, mask), by_the_studio(asked, row, mask)
    print(f"the first turn: studio {studio():.2f} s, then the infiller alone {alone():.2f} s")
    times = [(studio(), alone()) for _ in range(asked.repeats)]
    of_studio, of_infiller = (statistics.median(one) for one in zip(*times, strict=True))
    ratios = sorted(one / other for one, other in times)
    print(f"median of {asked.repeats}: studio {of_studio:.2f} s, infiller alone {of_infiller:.2f} s")
    print(f"ratio, side by side: median {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def a_place(patches: PatchSet, infiller: Infiller) -> tuple[int, NDArray[np.bool_]]:
    """Return a normal patch of the train split in which a disc in the middle may be filled."""
    rows, columns = np.mgrid[: patches.size_px, : patches.size_px]
    middle = patches.size_px / 2
    mask = np.asarray(np.hypot(rows - middle, columns - middle) <= patches.size_px / 7, np.bool_)
    for row in patches.rows(split="train", pathology="normal"):
        if refusal(mask, patch_of(patches, int(row)), infiller) is None:
            return int(row), mask
    raise SystemExit("no normal patch takes a disc in its middle")


def by_itself(infiller: Infiller, patches: PatchSet, row: int, mask: NDArray[np.bool_]) -> Callable[[], float]:
    """Return what times the infiller."""
    patch = patch_of(patches, row)
    fills = [HandFill(str(patch.facts["patch_id"]), mask, *one) for one in ASKED]

    def timed() -> float:
        begun = time.perf_counter()
        paint_patch(infiller, patch, fills)
        return time.perf_counter() - begun

    return timed


def by_the_studio(asked: argparse.Namespace, row: int, mask: NDArray[np.bool_]) -> Callable[[], float]:
    """Return what times the studio, from the click to the bytes of the first fill."""
    studio = Studio(asked.folder)
    access = Access(frozenset({HOST}), studio.knows_reader)
    client = TestClient(create_app(studio, access), base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    client.get(f"/?token={access.token}")
    ids = {one["place"]: one["id"] for one in client.get("/api/artifacts").json()["artifacts"]}
    order = {
        "patches": ids[asked.patches],
        "row": row,
        "mask": base64.b64encode(np.packbits(mask).tobytes()).decode(),
        "infillers": [ids[asked.infiller]],
        "fills": [{"pathology": pathology, "seed": seed} for pathology, seed in ASKED],
    }

    def timed() -> float:
        begun = time.perf_counter()
        painting = client.post("/api/paint", json=order).json()["painting"]
        while not (now := client.get(f"/api/paint/{painting}").json())["done"]:
            if now["state"] == "failed":
                raise SystemExit(now["error"])
            time.sleep(LOOKS_EVERY_S)
        client.get(f"/api/paint/{painting}/fill/0").raise_for_status()
        took = time.perf_counter() - begun
        while client.get(f"/api/paint/{painting}").json()["state"] == "paints":
            time.sleep(LOOKS_EVERY_S)
        return took

    return timed


if __name__ == "__main__":
    main()
