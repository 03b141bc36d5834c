"""From mammograms to patches: the stage `extract-patches`, which makes shards of patches side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.ground.artifact import Work, begin, fingerprint_file, read_manifest, write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.engines import work_through
from mammofill.ground.errors import DamagedError, LeakError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.mammograms import MammogramSet
from mammofill.patches.cut import cut_mammogram
from mammofill.patches.patch_set import PatchSet
from mammofill.patches.settings import ExtractPatchesSettings
from mammofill.patches.shards import write_dropped, write_index, write_shard

_PATHOLOGIES = ("normal", "benign", "malignant")


def extract_patches(
    mammograms: MammogramSet,
    out: str | Path,
    settings: ExtractPatchesSettings = ExtractPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> PatchSet:
    """Cut windows from mammograms and label them from the lesion masks; or take crops whole.

    Mammograms go to shards in the order of their identifiers, so the shards do not depend on how many processes work;
    a shard that is whole is never made again. Classes are counted, and none is required: a collection whose lesions are
    all malignant can still train an infiller. Stages that need both classes refuse such a set.

    Args:
        mammograms: where the patches are cut from.
        out: folder of the new patch set.
        settings: sizes and thresholds.
        seed: decides which normal patches of a mammogram are kept, where there are more than the settings allow.
        progress: notified after each shard.

    Returns:
        The patch set; its `dropped` says how many windows were not kept, and why.

    Raises:
        LeakError: a patient is in two splits.
        TooFewError: not one window could be kept; the message says why.
        DamagedError: a lesion's mask is empty, or does not lie inside its mammogram; or worker processes keep dying.
    """
    table = mammograms.mammograms.sort_values("mammogram_id")
    _check_splits(table)
    whole = _shows_crops(mammograms) if settings.whole is None else settings.whole

    with begin(
        out,
        kind=PatchSet.kind,
        stage="extract-patches",
        settings=settings,
        seed=seed,
        inputs={"mammograms": mammograms},
    ) as work:
        if work is not None:
            progress.say(f"{counted(len(table), 'mammograms')} in shards of {settings.mammograms_per_shard}")
            if whole:
                progress.say(
                    f"Each picture is taken whole, as one patch of {settings.size_px} px: {len(mammograms.crops)} of "
                    "them are crops (whole)."
                )
            shards = _plan_shards(table["mammogram_id"].tolist(), settings.mammograms_per_shard)
            _make_shards(mammograms, work, shards, replace(settings, whole=whole), seed, progress)
            made = [_read_made(work.scratch, shard) for shard in shards]
            dropped = _count_dropped(made)
            write_dropped(work.folder, dropped)
            patches = write_index(work.folder)
            if not len(patches):
                work.clear()
            _check_any(patches, dropped, mammograms.folder)
            _say_counts(patches, progress)
            work.finish(
                {
                    "patches": len(patches),
                    **{name: int((patches["pathology"] == name).sum()) for name in _PATHOLOGIES},
                    "windows_dropped": dropped.total(),
                },
                known={shard.file_name: one["sha256"] for shard, one in zip(shards, made, strict=True)},
            )
    return PatchSet.open(out)


@dataclass(frozen=True)
class Shard:
    """Some mammograms whose patches share one file; which process makes it does not matter."""

    number: int
    mammogram_ids: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Name of the file inside the patch set."""
        return f"patches-{self.number:05d}.parquet"


def _plan_shards(mammogram_ids: Sequence[str], size: int) -> list[Shard]:
    starts = range(0, len(mammogram_ids), size)
    return [Shard(number, tuple(mammogram_ids[first : first + size])) for number, first in enumerate(starts)]


def _check_splits(table: pd.DataFrame) -> None:
    splits = table.groupby("patient_id")["split"].nunique()
    leaking = sorted(splits.index[splits > 1])
    if leaking:
        raise LeakError(
            f"{counted(len(leaking), 'patients are')} in more than one split, first {leaking[0]}. Every patient must "
            "be in one: ingest the collection again with a split by patients."
        )


def _shows_crops(mammograms: MammogramSet) -> bool:
    """Return whether all pictures are square and most are crops: the others are then unrecognised crops."""
    table = mammograms.mammograms
    return bool((table["rows"] == table["columns"]).all()) and len(mammograms.crops) > len(table) / 2


def _make_shards(
    mammograms: MammogramSet,
    work: Work,
    shards: Sequence[Shard],
    settings: ExtractPatchesSettings,
    seed: int,
    progress: Progress,
) -> None:
    missing = [shard for shard in shards if not _is_made(work.folder, work.scratch, shard)]
    source = (mammograms.folder, mammograms.fingerprint)
    make = partial(_make_shard, source, work.folder, work.scratch, settings, seed)
    whole, left = (sum(len(shard.mammogram_ids) for shard in some) for some in (shards, missing))
    with progress.task("extracting patches", whole) as task:
        task.advance(whole - left)
        for shard, done in work_through(make, missing, settings.workers, settings.engine, logs=work.scratch):
            if not done:
                raise DamagedError(
                    f"The process that cut the mammograms {shard.mammogram_ids[0]} to {shard.mammogram_ids[-1]} of "
                    f"{mammograms.folder} died twice. Memory may have run out: use fewer workers, or a "
                    "smaller mammograms_per_shard. The other shards are kept; run the same command again to go on."
                )
            task.advance(len(shard.mammogram_ids))


def _make_shard(
    source: tuple[Path, str], folder: Path, scratch: Path, settings: ExtractPatchesSettings, seed: int, shard: Shard
) -> None:
    """Make one shard of the mammograms in a folder with a fingerprint, and note last what was dropped."""
    if _is_made(folder, scratch, shard):
        return
    mammograms = _opened(*source)
    patches: list[dict[str, Any]] = []
    dropped: Counter[tuple[str, str]] = Counter()
    with freed_memory_kept("cpu"):  # each mammogram takes what the last one left
        for mammogram_id in shard.mammogram_ids:
            of_one, reasons = cut_mammogram(mammograms, mammogram_id, settings, seed)
            split = str(mammograms.facts(mammogram_id)["split"])
            patches.extend(of_one)
            dropped.update({(reason, split): count for reason, count in reasons.items()})
    columns = {name: [patch.pop(name) for patch in patches] for name in ("image", "mask", "breast")}
    path = folder / shard.file_name
    write_shard(path, patches, columns["image"], columns["mask"], columns["breast"], bits=settings.bits)
    counts = [[reason, split, count] for (reason, split), count in sorted(dropped.items())]
    made = {"sha256": fingerprint_file(path), "bytes": path.stat().st_size, "dropped": counts}
    write_atomically(_made_path(scratch, shard), json.dumps(made), durable=False)


@lru_cache(maxsize=1)
def _opened(source: Path, fingerprint: str) -> MammogramSet:
    """Open the mammograms once in each process: their tables are the same for all shards.

    The fingerprint distinguishes them from others that were at the same place earlier in this process. The process that
    distributes the work has checked that all files are there; checking again in each process would cost N lookups in
    each.
    """
    return MammogramSet(source, read_manifest(source))


def _made_path(scratch: Path, shard: Shard) -> Path:
    return scratch / f"made-{shard.number:05d}.json"


def _is_made(folder: Path, scratch: Path, shard: Shard) -> bool:
    """Say whether a shard is whole: what was dropped is noted, and the file has the size that it was written with."""
    path = folder / shard.file_name
    try:
        return path.is_file() and bool(_read_made(scratch, shard).get("bytes") == path.stat().st_size)
    except (FileNotFoundError, ValueError):  # not noted, or lost in a power cut
        return False


def _read_made(scratch: Path, shard: Shard) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(_made_path(scratch, shard).read_text(encoding="utf-8"))
    return made


def _count_dropped(made: Sequence[dict[str, Any]]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in made:
        counts.update({(reason, split): count for reason, split, count in one["dropped"]})
    return counts


def _check_any(patches: pd.DataFrame, dropped: Counter[tuple[str, str]], folder: Path) -> None:
    if len(patches):
        return
    by_reason: Counter[str] = Counter()
    for (reason, _), count in dropped.items():
        by_reason[reason] += count
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(by_reason.items()))
    raise TooFewError(
        f"Not one window of {folder} could be kept. Dropped by reason: {reasons}. "
        "Compare size_px with the height of the mammograms, and min_breast_share with what the pictures show."
    )


def _say_counts(patches: pd.DataFrame, progress: Progress) -> None:
    for split, rows in patches.groupby("split"):
        counts = rows["pathology"].value_counts()
        progress.say(f"{split}: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in _PATHOLOGIES))
