"""Draws the cases of a reader study: real and synthetic lesions matched by class, density and size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, TooFewError
from mammofill.ground.imaging import touches_border
from mammofill.ground.seeding import stream
from mammofill.patches import PatchSet
from mammofill.readers.pairs import PairStudy
from mammofill.readers.settings import ReaderStudySettings
from mammofill.readers.study import Case, ReaderStudy

_CLASSES = ("benign", "malignant")
_CODE = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Characters of codes, without those that look alike."""
_TAILS = (0.5, 99.5)
"""Percentiles shown as black and white."""


def make_reader_study(
    real: PatchSet,
    synthetic: PatchSet,
    out: str | Path,
    settings: ReaderStudySettings = ReaderStudySettings(),
    *,
    seed: int = 0,
) -> ReaderStudy:
    """Draw cases and write the file of a study.

    Each synthetic patch is matched with the real patch of its class and density whose lesion has the nearest area. Each
    patient gives one case only: cases must be independent, and a reader who recognises the surroundings of a fill in a
    real case knows that one of the two was painted. Real lesions of the patient from whom a fill has its outline are
    used only where no other lesion is left. All pictures are converted to 8 bits in the same way, each over its own
    range, so that neither bit depth nor range reveals the origin.

    Args:
        real: patches with real lesions.
        synthetic: patches with painted ones, of the same size.
        out: the file, ``*.readers.sqlite``.
        settings: numbers of cases and readers.
        seed: decides which cases are drawn, and each reader's order. Codes are secret, and new in each call.

    Raises:
        ArtifactError: the file exists already, or the patches have two sizes.
        TooFewError: too few patients with whole lesions of a class.
    """
    if real.size_px != synthetic.size_px:
        raise ArtifactError(
            f"{real.folder} has patches of {real.size_px} px, {synthetic.folder} of {synthetic.size_px}: the size would"
            " reveal the origin. Give sets of one size."
        )
    wanted = {} if settings.split is None else {"split": settings.split}
    cases: list[Case] = []
    seen: set[str] = set()
    for name in _CLASSES:
        painted = _whole(synthetic, synthetic.rows(origin="synthetic", pathology=name))
        found = _whole(real, real.rows(origin="real", pathology=name, **wanted))
        cases += _matched(painted, found, name, settings.cases, seed, seen)
    coarse = any(_is_8bit(patches, rows) for patches, rows in _by_set(cases, real, synthetic))
    pixels = {(patches is synthetic, int(row)): image for patches, rows in _by_set(cases, real, synthetic)
              for row, image in zip(rows, patches.pixels(rows)[0], strict=True)}  # fmt: skip
    pictures = [as_shown(pixels[case.synthetic, case.row], coarse) for case in cases]
    lineage: dict[str, Any] = {
        "real": real.fingerprint,
        "synthetic": synthetic.fingerprint,
        "kind": settings.kind,
        "cases": settings.cases,
        "split": settings.split,
        "seed": seed,
        "brought_to_8_bits": coarse,
    }
    write = _write_pairs if settings.kind == "pairs" else _write_ratings
    return write(Path(out), cases, pictures, settings.readers, seed, lineage)


def _write_ratings(
    out: Path, cases: list[Case], pictures: list[NDArray[np.uint8]], readers: int, seed: int, lineage: dict[str, Any]
) -> ReaderStudy:
    order = stream(seed, "readers", "cases").permutation(len(cases))
    orders = {_code(): stream(seed, "readers", "order", number).permutation(len(cases)) for number in range(readers)}
    return ReaderStudy.write(
        out, [cases[place] for place in order], [pictures[place] for place in order], orders, lineage
    )


def _write_pairs(
    out: Path, cases: list[Case], pictures: list[NDArray[np.uint8]], readers: int, seed: int, lineage: dict[str, Any]
) -> ReaderStudy:
    pairs = len(cases) // 2  # the two of a pair were drawn one after the other
    orders = {}
    for number in range(readers):
        order = stream(seed, "readers", "order", number).permutation(pairs).tolist()
        left = stream(seed, "readers", "left", number).integers(2, size=pairs).astype(bool).tolist()
        orders[_code()] = list(zip(order, left, strict=True))
    return PairStudy.write_pairs(out, cases, pictures, orders, lineage)


def as_shown(image: NDArray[np.uint16], coarse: bool) -> NDArray[np.uint8]:
    """Convert a patch for display: 8 bits, each picture over its own range, from 0 to 255 exactly.

    Args:
        image: (H, W) uint16.
        coarse: round to 8 bits over the full range first, where patches of either origin were stored with 8 bits.

    Returns:
        (H, W) uint8.
    """
    values = np.rint(image / 257.0) if coarse else image.astype(np.float64)
    low, high = np.percentile(values, _TAILS)
    shown = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return np.asarray(np.rint(shown * 255), np.uint8)


def _whole(patches: PatchSet, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return the rows whose lesion is not cut, with its area."""
    masks = patches.masks(rows)
    columns = ["patch_id", "patient_id", "density", "mask_donor_patient_id"]
    table = patches.table.iloc[rows][columns].assign(row=rows).fillna({"mask_donor_patient_id": ""})
    table["area"] = masks.sum(axis=(1, 2))
    whole = np.array([mask.any() and not touches_border(mask) for mask in masks], np.bool_)
    return table[whole]


def _matched(
    painted: pd.DataFrame, found: pd.DataFrame, pathology: str, count: int, seed: int, seen: set[str]
) -> list[Case]:
    """Draw the cases of a class; `seen`, the patients of all cases so far, is extended."""
    fills = painted.iloc[stream(seed, "readers", "synthetic", pathology).permutation(len(painted))].to_dict("records")
    left = found.iloc[stream(seed, "readers", "real", pathology).permutation(len(found))].to_dict("records")
    cases: list[Case] = []
    for fill in fills:
        if len(cases) == 2 * count:
            return cases
        others = [one for one in left if one["patient_id"] not in seen | {fill["patient_id"]}]
        if fill["patient_id"] in seen or not others:
            continue
        nearest = min(others, key=lambda one: _unlike(fill, one))
        seen |= {fill["patient_id"], nearest["patient_id"]}
        for row, synthetic in ((fill, True), (nearest, False)):
            cases.append(Case(pathology, synthetic, str(row["patch_id"]), int(row["row"])))
    if len(cases) < 2 * count:
        raise TooFewError(
            f"{counted(count, f'{pathology} cases of each origin are')} requested, each of another patient, but there "
            f"are only {len(cases) // 2}: {counted(painted['patient_id'].nunique(), 'patients have')} whole synthetic "
            f"lesions, and {found['patient_id'].nunique()} have real ones. Request fewer cases."
        )
    return cases


def _unlike(fill: dict[Any, Any], real: dict[Any, Any]) -> tuple[bool, bool, float]:
    """Return the sort key of a real lesion for a fill: of the mask's donor, of another density, ratio of areas."""
    densities = [row["density"] if isinstance(row["density"], str) else None for row in (fill, real)]
    is_donor = fill["mask_donor_patient_id"] == real["patient_id"]
    return is_donor, densities[0] != densities[1], abs(math.log(fill["area"] / real["area"]))


def _by_set(cases: list[Case], real: PatchSet, synthetic: PatchSet) -> list[tuple[PatchSet, NDArray[np.int64]]]:
    return [
        (patches, np.array([case.row for case in cases if case.synthetic is painted], np.int64))
        for patches, painted in ((real, False), (synthetic, True))
    ]


def _is_8bit(patches: PatchSet, rows: NDArray[np.int64]) -> bool:
    return bool((patches.pixels(rows)[0] % 257 == 0).all())


def _code() -> str:
    import secrets

    return "".join(secrets.choice(_CODE) for _ in range(12))
