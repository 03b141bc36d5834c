"""The stage that pastes synthetic lesions into their mammograms and writes them as DICOM objects."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.export.dicom_export import LINEAGE_COLUMNS, DicomExport
from mammofill.export.objects import Lineage, draw_watermark, write_image
from mammofill.export.painted_how import methods_of
from mammofill.export.paste import Pasted, Place, paste
from mammofill.export.segmentation import check_installed, write_segmentation
from mammofill.export.settings import ExportDicomSettings
from mammofill.export.source import Source, collection_of, read_source
from mammofill.ground.artifact import MANIFEST_NAME, begin, read_manifest, settings_of_plan, write_atomically
from mammofill.ground.errors import ArtifactError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage, crop, resample
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms import MammogramSet, Tissue
from mammofill.patches import PatchSet

_ROUNDING_OF_8_BITS = 257
"""Levels of 65535 by which a picture that was kept with 8 bits may differ from the same with 16."""

_WAYS_OF_TISSUE = ("synthetic", "patches", "mammograms")
"""Roles of what patches are made from that lead to their tissue, the nearest first."""

_TABLE = ("image", "mask", "patient", "pathology", "laterality", "view", "split", "abnormality", "density",
          "spacing_mm", "infiller", "seed")  # fmt: skip


def export_dicom(
    patches: PatchSet,
    out: str | Path,
    settings: ExportDicomSettings = ExportDicomSettings(),
    *,
    mammograms: MammogramSet | None = None,
    collection: str | Path | None = None,
    seed: int = 0,
    progress: Progress = quiet,
) -> DicomExport:
    """Write each synthetic lesion of a set of patches as a mammogram of its own, at the source's resolution and depth.

    Every fill becomes one image, so that fills which overlap need no order: an image holds one synthetic lesion, and is
    its source everywhere else, value for value.

    Args:
        patches: synthetic patches; real ones in it are left out.
        out: folder of the export.
        settings: how many; grain, watermark, date.
        mammograms: the set that their tissue was cut from; without it, the one that the lineage of the patches names.
        collection: folder of the collection, where it lies elsewhere than when it was ingested.
        seed: decides nothing; stages have one.
        progress: notified of each image.

    Returns:
        The export, which `ingest` with the collection ``table`` reads again.

    Raises:
        TooFewError: there is no synthetic patch.
        ArtifactError: the tissue of a patch is not that of the mammograms.
        SourceError: a source file is not there, or was changed.
        SettingsError: what writes segmentations is not installed.
    """
    check_installed()
    rows = patches.rows(origin="synthetic")[: settings.most]
    if not len(rows):
        raise TooFewError(
            f"{patches.folder} holds no synthetic patch, so there is nothing to export. Give a set that "
            "synthesize made."
        )
    mammograms = _mammograms_of(patches) if mammograms is None else mammograms
    _check_mammograms(patches, mammograms, rows)
    inputs: dict[str, Any] = {"patches": patches, "mammograms": mammograms}
    if collection is not None:
        inputs["collection"] = Path(collection)
    with begin(out, kind=DicomExport.kind, stage="export-dicom", settings=settings, seed=seed, inputs=inputs) as work:
        if work is not None:
            folder = collection_of(mammograms, Path(collection) if collection is not None else None)
            given = _Given(patches, mammograms, settings, methods_of(patches))
            records = _write_all(work.folder, given, folder, rows, progress)
            table = pd.DataFrame(records).sort_values("image", ignore_index=True)
            _write_tables(work.folder, table)
            work.finish(
                {
                    "images": len(table),
                    **{name: int((table["pathology"] == name).sum()) for name in ("benign", "malignant")},
                    "mammograms": int(table["mammogram_id"].nunique()),
                    "patients": int(table["patient_id"].nunique()),
                }
            )
    return DicomExport.open(out)


def _mammograms_of(patches: PatchSet) -> MammogramSet:
    """Find the mammograms by the lineage of the tissue; the infiller's lineage may lead to other mammograms."""
    place, manifest = patches.folder, patches.manifest
    while manifest.kind == PatchSet.kind:
        ways = [record for record in manifest.inputs if record.role in _WAYS_OF_TISSUE]
        place = Path(os.path.normpath(place / ways[0].path)) if ways else place
        if not ways or not (place / MANIFEST_NAME).is_file():
            raise ArtifactError(
                f"The lineage of {patches.folder} does not lead to its mammograms: {place} is not at its place, or not "
                "what it was. Name the set that the patches were cut from, with --mammograms."
            )
        manifest = read_manifest(place)
    return MammogramSet.open(place)


def _check_mammograms(patches: PatchSet, mammograms: MammogramSet, rows: NDArray[np.int64]) -> None:
    known = set(mammograms.mammograms["mammogram_id"])
    lost = [name for name in patches.table["mammogram_id"].iloc[rows] if name not in known]
    if lost:
        raise ArtifactError(
            f"{mammograms.folder} has no mammogram {lost[0]!r}, into which a patch of {patches.folder} was painted. "
            "Give the set that the patches were cut from."
        )


@dataclass(frozen=True)
class _Given:
    """What is exported, and how."""

    patches: PatchSet
    mammograms: MammogramSet
    settings: ExportDicomSettings
    methods: Mapping[str, str]
    """Infiller -> how it paints, see `methods_of`."""


def _write_all(
    out: Path, given: _Given, collection: Path, rows: NDArray[np.int64], progress: Progress
) -> list[dict[str, Any]]:
    """Write the images of one mammogram after the other, so that each source is read once."""
    for name in ("images", "segmentations"):
        (out / name).mkdir(exist_ok=True)
    table = given.patches.table.iloc[rows]
    records: list[dict[str, Any]] = []
    with progress.task("writing DICOM images", len(rows)) as task:
        for mammogram_id, places in sorted(table.groupby("mammogram_id").indices.items()):
            source = read_source(given.mammograms, str(mammogram_id), collection)
            for number, row in enumerate(rows[places], start=1):
                # The names of patches reveal the patient of the tissue, so files are numbered.
                name = f"{len(records) + 1:05d}"
                records.append(_write_one(out, given, source, int(row), name, number))
                task.advance()
    return records


def _write_one(out: Path, given: _Given, source: Source, row: int, name: str, number: int) -> dict[str, Any]:
    """Paste, write and describe one image."""
    patches, mammograms, watermark = given.patches, given.mammograms, given.settings.watermark
    facts: dict[Hashable, Any] = patches.table.iloc[row].to_dict()
    of_mammogram = mammograms.facts(str(facts["mammogram_id"]))
    (fill,), (mask,) = patches.pixels([row])
    (hole,) = patches.holes([row])
    tissue = _tissue(mammograms, facts, patches.size_px)
    _check_tissue(given, facts, fill, tissue, hole)
    size = (source.values.shape[0], source.values.shape[1])
    place = Place.of(
        (facts["top"], facts["left"], facts["height"], facts["width"]),
        (of_mammogram["rows"], of_mammogram["columns"]),
        size,
        patches.size_px,
    )
    breast = mammograms.tissue(str(facts["mammogram_id"])) != Tissue.FILM
    pasted = paste(source, tissue, fill, hole, place, breast, given.settings.match_grain)
    changed = _changed(source, pasted)
    if watermark:
        draw_watermark(source, pasted.values, _emptiest_corner(breast))
    lineage = _lineage(given, facts, of_mammogram, source, number)
    image = write_image(out / "images" / f"{name}.dcm", source, pasted.values, lineage, watermark)
    outline = np.zeros(source.values.shape, np.bool_)
    box = place.box_in_source(mask, size)
    outline[box] = place.enlarged(mask, box)
    write_segmentation(out / "segmentations" / f"{name}.dcm", image, outline, lineage)
    return _record(facts, of_mammogram, lineage, pasted, name, changed, source)


def _tissue(mammograms: MammogramSet, facts: Mapping[Hashable, Any], size_px: int) -> StoredImage:
    """Return what a fill was painted into, (size_px, size_px): a window, or a crop that was taken whole."""
    box = (int(facts["top"]), int(facts["left"]), int(facts["height"]), int(facts["width"]))
    window = np.asarray(crop(mammograms.image(str(facts["mammogram_id"])), box), np.uint16)
    return resample(window, (size_px, size_px))


def _check_tissue(
    given: _Given, facts: Mapping[Hashable, Any], fill: StoredImage, tissue: StoredImage, hole: Mask
) -> None:
    """Refuse a fill whose surroundings are not those of the mammogram: it would be pasted at the wrong place."""
    if not hole.any() or hole.all():
        raise ArtifactError(
            f"{given.patches.folder}: the hole of {facts['patch_id']} is {'all' if hole.all() else 'nothing'}."
        )
    far = int(np.abs(fill.astype(np.int32) - tissue.astype(np.int32))[~hole].max())
    if far > _ROUNDING_OF_8_BITS:
        raise ArtifactError(
            f"Around its hole the patch {facts['patch_id']} of {given.patches.folder} differs from the mammogram "
            f"{facts['mammogram_id']} of {given.mammograms.folder} by up to {far} levels of 65535. Give the "
            "mammograms that the patches were cut from."
        )


def _changed(source: Source, pasted: Pasted) -> tuple[int, int]:
    """Return how many pixels differ from the source, and how many of those lie outside of the hole."""
    differs = pasted.values != source.values
    count = int(np.count_nonzero(differs))
    return count, count - int(np.count_nonzero(differs[pasted.place] & pasted.hole))


def _emptiest_corner(breast: Mask) -> tuple[bool, bool]:
    """Return the corner, (bottom, right), that shows least breast."""
    height, width = breast.shape[0] // 8, breast.shape[1] // 3

    def shown(corner: tuple[bool, bool]) -> float:
        rows = slice(-height, None) if corner[0] else slice(0, height)
        columns = slice(-width, None) if corner[1] else slice(0, width)
        return float(breast[rows, columns].mean())

    return min(((bottom, right) for bottom in (False, True) for right in (True, False)), key=shown)


def _lineage(
    given: _Given, facts: Mapping[Hashable, Any], of_mammogram: Mapping[str, Any], source: Source, number: int
) -> Lineage:
    """Return what an image says of its making; `number` counts the images of one mammogram."""
    settings = settings_of_plan(given.settings)
    decisive = json.dumps([source.sha256, given.patches.fingerprint, str(facts["patch_id"]), settings], sort_keys=True)
    # Cannot be guessed from a list of patients, since it depends on the fingerprint of the mammograms.
    person = hashlib.sha256(f"{given.mammograms.fingerprint} {facts['patient_id']}".encode()).hexdigest()
    spacing = of_mammogram["spacing_mm"]
    return Lineage(
        mammogram_id=str(facts["mammogram_id"]),
        patient=f"SYN-{person[:12].upper()}",
        pathology=str(facts["pathology"]),
        abnormality=_text(facts["abnormality"]),
        seed=int(facts["seed"]),
        infiller=str(facts["infiller"]),
        method=given.methods.get(str(facts["infiller"]), ""),
        laterality=of_mammogram["laterality"],
        view=of_mammogram["view"],
        spacing_mm=float(spacing) * float(of_mammogram["scale"]) if spacing else None,
        number=number,
        date=given.settings.date,
        made_from=hashlib.sha256(decisive.encode()).hexdigest(),
    )


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def _record(
    facts: Mapping[Hashable, Any],
    of_mammogram: Mapping[str, Any],
    lineage: Lineage,
    pasted: Pasted,
    name: str,
    changed: tuple[int, int],
    source: Source,
) -> dict[str, Any]:
    rows, columns = pasted.place
    return {
        **{column: facts[column] for column in ("patch_id", "patient_id", "mammogram_id", "mask_donor_patient_id",
                                                "pathology", "infiller", "split", "abnormality", "density")},
        "image": f"images/{name}.dcm",
        "mask": f"segmentations/{name}.dcm",
        "patient": lineage.patient,
        "source_file": of_mammogram["source_file"],
        "source_sha256": source.sha256,
        "seed": lineage.seed,
        "sop_instance_uid": lineage.uid("image"),
        "top": rows.start, "left": columns.start,
        "height": rows.stop - rows.start, "width": columns.stop - columns.start,
        "pixels_changed": changed[0], "pixels_changed_outside": changed[1],
        "grain_around": pasted.grain.around, "grain_pasted": pasted.grain.pasted,
        "grain_matched": pasted.grain.matched,
        "laterality": lineage.laterality or "", "view": lineage.view or "", "spacing_mm": lineage.spacing_mm or "",
    }  # fmt: skip


def _write_tables(folder: Path, table: pd.DataFrame) -> None:
    """Write the lineage, and the collection as a table that `ingest table` reads."""
    table[list(LINEAGE_COLUMNS)].astype(LINEAGE_COLUMNS).to_parquet(folder / "lineage.parquet", index=False)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_TABLE)
    for row in table.to_dict("records"):
        writer.writerow([_text(row[column]) for column in _TABLE])
    write_atomically(folder / "mammograms.csv", lines.getvalue())
