"""From mammograms to patches: the stage `extract-patches`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.errors import DamagedError, LeakError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms import MammogramSet
from mammofill.patches.patch_set import PatchSet, write_shard
from mammofill.patches.settings import ExtractPatchesSettings
from mammofill.mammograms.tissue import find_breast
from mammofill.patches.windows import LesionOutline, Window, label_windows


def extract_patches(
    mammograms: MammogramSet,
    out: str | Path,
    settings: ExtractPatchesSettings = ExtractPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> PatchSet:
    """Cut windows from mammograms and label them from the lesion masks.

    Mammograms go to shards in the order of their identifiers, so the shards do not depend on how many processes work;
    a shard that is whole is never made again. Which classes are there is said, not judged: a collection whose lesions
    are all malignant can still train an infiller. The stages that need both classes refuse.

    Args:
        mammograms: where the patches are cut from.
        out: folder of the new patch set.
        settings: sizes and thresholds.
        seed: recorded; nothing is left to chance here.
        progress: told after each shard.

    Returns:
        The patch set; its `dropped` says how many windows were not kept, and why.

    Raises:
        LeakError: a patient is in two splits.
        TooFewError: not one window could be kept; the message says why.
        DamagedError: a lesion's mask is empty, or has not the size of its mammogram.
    """
    table = mammograms.mammograms.sort_values("mammogram_id")
    _check_splits(table)

    with begin(
        out,
        kind=PatchSet.kind,
        stage="extract-patches",
        settings=settings,
        seed=seed,
        inputs={"mammograms": mammograms},
    ) as work:
        if work is not None:
            identifiers = table["mammogram_id"].tolist()
            size = settings.mammograms_per_shard
            shards = [identifiers[first : first + size] for first in range(0, len(identifiers), size)]
            _make_shards(mammograms.folder, work.folder, shards, settings, progress)
            dropped = _gather_dropped(work.folder, len(shards))
            dropped.to_parquet(work.folder / "dropped.parquet", index=False)
            patches = _read_labels(work.folder)
            _check_any(patches, dropped, mammograms.folder)
            for number in range(len(shards)):
                _dropped_path(work.folder, number).unlink()
            _say_counts(patches, progress)
            work.finish(
                {
                    "patches": len(patches),
                    **{name: int((patches["pathology"] == name).sum()) for name in ("normal", "benign", "malignant")},
                    "windows_dropped": int(dropped["count"].sum()),
                }
            )
    return PatchSet.open(out)


def _check_splits(table: pd.DataFrame) -> None:
    splits = table.groupby("patient_id")["split"].nunique()
    leaking = sorted(splits.index[splits > 1])
    if leaking:
        raise LeakError(
            f"{len(leaking)} patients are in more than one split, first {leaking[0]}. Every patient must be in one: "
            "ingest the collection again with a split by patients."
        )


def _make_shards(
    source: Path, folder: Path, shards: Sequence[list[str]], settings: ExtractPatchesSettings, progress: Progress
) -> None:
    missing = [k for k in range(len(shards)) if not _dropped_path(folder, k).is_file()]
    with progress.task("extracting patches", sum(map(len, shards))) as task:
        task.advance(sum(len(shards[k]) for k in range(len(shards)) if k not in missing))
        if settings.workers == 0:
            for number in missing:
                _make_shard(source, folder, number, shards[number], settings)
                task.advance(len(shards[number]))
            return
        with ProcessPoolExecutor(settings.workers) as pool:
            running: dict[Future[None], int] = {
                pool.submit(_make_shard, source, folder, k, shards[k], settings): k for k in missing
            }
            try:
                for done in as_completed(running):
                    done.result()
                    task.advance(len(shards[running[done]]))
            finally:
                # After a failure, shards that nobody has begun are left for the next run.
                pool.shutdown(cancel_futures=True)


def _make_shard(
    source: Path, folder: Path, number: int, identifiers: list[str], settings: ExtractPatchesSettings
) -> None:
    mammograms = MammogramSet.open(source)
    rows: list[dict[str, Any]] = []
    images: list[StoredImage] = []
    masks: list[Mask] = []
    breasts: list[Mask] = []
    dropped: Counter[tuple[str, str]] = Counter()
    by_id = mammograms.mammograms.set_index("mammogram_id")
    for mammogram_id in identifiers:
        facts = by_id.loc[mammogram_id]
        image = mammograms.image(mammogram_id)
        breast = find_breast(image)
        lesions = _outlines(mammograms, mammogram_id, image.shape)
        windows, reasons = label_windows(breast, lesions, settings, bool(facts["all_lesions_located"]))
        dropped.update({(reason, str(facts["split"])): count for reason, count in reasons.items()})
        for window in windows:
            place = np.s_[window.top : window.top + settings.size_px, window.left : window.left + settings.size_px]
            rows.append(_row(window, mammogram_id, facts, settings.size_px))
            images.append(image[place])
            masks.append(_window_mask(window, lesions, place, settings.size_px))
            breasts.append(breast[place])
    write_shard(folder / f"patches-{number:05d}.parquet", rows, images, masks, breasts, bits=settings.bits)
    # Written last: where it is, the shard is whole.
    counts = [[reason, split, count] for (reason, split), count in sorted(dropped.items())]
    write_atomically(_dropped_path(folder, number), json.dumps(counts))


def _outlines(mammograms: MammogramSet, mammogram_id: str, shape: tuple[int, ...]) -> list[LesionOutline]:
    outlines = []
    for row in mammograms.lesions_of(mammogram_id).to_dict("records"):
        mask = mammograms.mask(row["lesion_id"])
        if mask.shape != shape or not mask.any():
            found = "is empty" if mask.shape == shape else f"is {mask.shape[0]} x {mask.shape[1]} px"
            raise DamagedError(
                f"{mammograms.folder}: the mask of lesion {row['lesion_id']} {found}; it must mark some of the "
                f"{shape[0]} x {shape[1]} px of its mammogram {mammogram_id}. Ingest the collection again."
            )
        outlines.append(LesionOutline(row["lesion_id"], row["pathology"], row["abnormality"], mask))
    return outlines


def _window_mask(window: Window, lesions: Sequence[LesionOutline], place: Any, size: int) -> Mask:
    """Return all lesion pixels of a lesion patch; no lesion of the other pathology reaches into it."""
    mask = np.zeros((size, size), np.bool_)
    if window.lesion_ids:
        for lesion in lesions:
            mask |= lesion.mask[place]
    return mask


def _row(window: Window, mammogram_id: str, facts: Any, size: int) -> dict[str, Any]:
    return {
        "patch_id": f"{mammogram_id}_r{window.top:05d}_c{window.left:05d}",
        "patient_id": facts["patient_id"],
        "mammogram_id": mammogram_id,
        "top": window.top,
        "left": window.left,
        "height": size,
        "width": size,
        "pathology": window.pathology,
        "abnormality": window.abnormality,
        "lesion_ids": " ".join(window.lesion_ids),
        "breast_share": window.breast_share,
        "split": facts["split"],
        "origin": "real",
    }


def _dropped_path(folder: Path, number: int) -> Path:
    return folder / f"dropped-{number:05d}.json"


def _gather_dropped(folder: Path, shards: int) -> pd.DataFrame:
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(shards):
        for reason, split, count in json.loads(_dropped_path(folder, number).read_text()):
            counts[reason, split] += count
    return pd.DataFrame(
        [(reason, split, count) for (reason, split), count in sorted(counts.items())],
        columns=["reason", "split", "count"],
    ).astype({"reason": "string", "split": "string", "count": "int64"})


def _read_labels(folder: Path) -> pd.DataFrame:
    columns = ["split", "pathology"]
    return pd.concat([pd.read_parquet(path, columns=columns) for path in sorted(folder.glob("patches-*.parquet"))])


def _check_any(patches: pd.DataFrame, dropped: pd.DataFrame, folder: Path) -> None:
    if len(patches):
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.groupby("reason")["count"].sum().items())
    raise TooFewError(
        f"Not one window of {folder} could be kept. Dropped by reason: {reasons}. "
        "Compare size_px with the height of the mammograms, and min_breast_share with what the pictures show."
    )


def _say_counts(patches: pd.DataFrame, progress: Progress) -> None:
    for line in _count_lines(patches):
        progress.say(line)


def _count_lines(patches: pd.DataFrame) -> Iterator[str]:
    for split, rows in patches.groupby("split"):
        counts = rows["pathology"].value_counts()
        yield f"{split}: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in ("normal", "benign", "malignant"))
