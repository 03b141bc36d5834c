"""From mammograms to patches: the stage `extract-patches`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.artifact import Work, begin, fingerprint_file, read_manifest, write_atomically
from mammofill.ground.engines import work_through
from mammofill.ground.errors import DamagedError, LeakError, MammofillError, SettingsError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage, crop, decode_png, encode_png, resample, resample_mask
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import stream
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.mammograms import MammogramSet, Tissue, enlarge_tissue
from mammofill.patches.patch_set import PatchSet, encode_patch, widen, write_index, write_shard
from mammofill.patches.settings import ExtractPatchesSettings
from mammofill.patches.windows import LesionOutline, Window, choose_normals, label_windows


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
    a shard that is whole is never made again. Which classes are there is said, not judged: a collection whose lesions
    are all malignant can still train an infiller. The stages that need both classes refuse.

    Args:
        mammograms: where the patches are cut from.
        out: folder of the new patch set.
        settings: sizes and thresholds.
        seed: decides which normal patches of a mammogram are kept, where there are more than asked for.
        progress: told after each shard.

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
            progress.say(f"{len(table)} mammograms in shards of {settings.mammograms_per_shard}")
            if whole:
                progress.say(
                    f"Each picture is taken whole, as one patch of {settings.size_px} px: {len(mammograms.crops)} of "
                    "them are crops (whole)."
                )
            shards = _plan_shards(table["mammogram_id"].tolist(), settings.mammograms_per_shard)
            _make_shards(mammograms, work, shards, replace(settings, whole=whole), seed, progress)
            made = [_read_made(work.scratch, shard) for shard in shards]
            dropped = _dropped_table(made)
            dropped.to_parquet(work.folder / "dropped.parquet", index=False)
            patches = write_index(work.folder)
            _check_any(patches, dropped, mammograms.folder)
            _say_counts(patches, progress)
            work.finish(
                {
                    "patches": len(patches),
                    **{name: int((patches["pathology"] == name).sum()) for name in ("normal", "benign", "malignant")},
                    "windows_dropped": int(dropped["count"].sum()),
                },
                known={shard.file_name: one["sha256"] for shard, one in zip(shards, made, strict=True)},
            )
    return PatchSet.open(out)


@dataclass(frozen=True)
class Shard:
    """Some mammograms whose patches share one file; who makes it does not matter."""

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
            f"{len(leaking)} patients are in more than one split, first {leaking[0]}. Every patient must be in one: "
            "ingest the collection again with a split by patients."
        )


def _shows_crops(mammograms: MammogramSet) -> bool:
    """Say whether all pictures are square, and most of them crops: what is not is then a crop hard to know as one."""
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
                    f"{mammograms.folder} died twice. Perhaps the memory was not enough: use fewer workers, or a "
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
            of_one, reasons = _cut(mammograms, mammogram_id, settings, seed)
            patches.extend(of_one)
            dropped.update(reasons)
    columns = {name: [patch.pop(name) for patch in patches] for name in ("image", "mask", "breast")}
    path = folder / shard.file_name
    write_shard(path, patches, columns["image"], columns["mask"], columns["breast"], bits=settings.bits)
    counts = [[reason, split, count] for (reason, split), count in sorted(dropped.items())]
    made = {"sha256": fingerprint_file(path), "bytes": path.stat().st_size, "dropped": counts}
    write_atomically(_made_path(scratch, shard), json.dumps(made), durable=False)


@lru_cache(maxsize=1)
def _opened(source: Path, fingerprint: str) -> MammogramSet:
    """Open the mammograms once in each process: their tables are the same for all shards.

    The fingerprint tells them from others that were at the same place earlier in this process. Whether all files of
    the set are there has seen who hands out the work: each process once more would cost N for each.
    """
    return MammogramSet(source, read_manifest(source))


def _cut(
    mammograms: MammogramSet, mammogram_id: str, settings: ExtractPatchesSettings, seed: int
) -> tuple[list[dict[str, Any]], Counter[tuple[str, str]]]:
    """Return the patches of one mammogram, rows with their pictures, and what was dropped by reason and split."""
    facts = mammograms.facts(mammogram_id)
    image = mammograms.image(mammogram_id)
    if settings.whole:
        patches, reasons = _taken_whole(mammograms, mammogram_id, image, facts, settings)
        return patches, _by_split(reasons, facts)
    tissue = enlarge_tissue(mammograms.tissue(mammogram_id), (image.shape[0], image.shape[1]))
    breast = tissue != Tissue.FILM
    muscle = tissue == Tissue.PECTORAL if settings.max_pectoral_share < 1 else None
    lesions = _outlines(mammograms, mammogram_id, image.shape)
    windows, reasons = label_windows(breast, lesions, settings, bool(facts["all_lesions_located"]), muscle)
    if settings.normals_per_mammogram is not None:
        most, random = settings.normals_per_mammogram, stream(seed, "normals", mammogram_id)
        windows, left_out = choose_normals(windows, most, settings.size_px, random)
        reasons.update({"more-normals-than-asked-for": left_out} if left_out else {})
    patches = []
    for window in windows:
        place = np.s_[window.top : window.top + settings.size_px, window.left : window.left + settings.size_px]
        pictures = {
            "image": encode_patch(image[place], settings.bits),
            "mask": encode_png(_window_mask(window, lesions, settings.size_px)),
            "breast": encode_png(breast[place]),
        }
        row = _row(window, mammogram_id, facts, settings.size_px)
        patches.append(row | {"attributes": _attributes(window, lesions)} | pictures)
    return patches, _by_split(reasons, facts)


def _by_split(reasons: Counter[str], facts: Any) -> Counter[tuple[str, str]]:
    return Counter({(reason, str(facts["split"])): count for reason, count in reasons.items()})


def _taken_whole(
    mammograms: MammogramSet, mammogram_id: str, image: StoredImage, facts: Any, settings: ExtractPatchesSettings
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return a crop as the one patch that it is, labelled as a window of its size would be; or why it is none."""
    side, size = image.shape[0], (settings.size_px, settings.size_px)
    if image.shape[1] != side:
        return [], Counter({"picture-not-square": 1})
    if side < settings.size_px:
        return [], Counter({"picture-smaller-than-patch": 1})
    lesions = _outlines(mammograms, mammogram_id, image.shape)
    as_window = replace(settings, size_px=side, stride_px=side, normal_margin_px=0)
    windows, reasons = label_windows(
        np.ones(image.shape, np.bool_), lesions, as_window, bool(facts["all_lesions_located"])
    )
    patches = [
        _row(window, mammogram_id, facts, side)
        | {
            "attributes": _attributes(window, lesions),
            "image": encode_patch(resample(image, size), settings.bits),
            "mask": encode_png(resample_mask(_window_mask(window, lesions, side), size)),
            "breast": encode_png(np.ones(size, np.bool_)),
        }
        for window in windows
    ]
    return patches, reasons


def _outlines(mammograms: MammogramSet, mammogram_id: str, shape: tuple[int, ...]) -> list[LesionOutline]:
    outlines = []
    for row in mammograms.lesions_of(mammogram_id).to_dict("records"):
        mask = mammograms.mask_in_box(row["lesion_id"])
        top, left, height, width = (int(row[name]) for name in ("top", "left", "height", "width"))
        inside = 0 <= top <= shape[0] - height and 0 <= left <= shape[1] - width
        if mask.shape != (height, width) or not inside or not mask.any():
            found = "is empty" if not mask.any() else f"is {mask.shape[0]} x {mask.shape[1]} px"
            raise DamagedError(
                f"{mammograms.folder}: the mask of lesion {row['lesion_id']} {found}; it must mark some of the "
                f"{height} x {width} px at row {top}, column {left} of its mammogram {mammogram_id} ({shape[0]} x "
                f"{shape[1]} px). Ingest the collection again."
            )
        outlines.append(
            LesionOutline(row["lesion_id"], row["pathology"], row["abnormality"], mask, top, left, row["attributes"])
        )
    return outlines


def _window_mask(window: Window, lesions: Sequence[LesionOutline], size: int) -> Mask:
    """Return all lesion pixels of a lesion patch; no lesion of the other pathology reaches into it."""
    mask = np.zeros((size, size), np.bool_)
    if window.lesion_ids:
        for lesion in lesions:
            mask |= crop(lesion.mask, (window.top - lesion.top, window.left - lesion.left, size, size)).astype(bool)
    return mask


def _attributes(window: Window, lesions: Sequence[LesionOutline]) -> str | None:
    """Return what the source says of the lesion in a window; None where there is none, or more than one."""
    inside = [lesion.attributes for lesion in lesions if lesion.lesion_id in window.lesion_ids]
    return inside[0] if len(inside) == 1 else None


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
        "density": facts["density"],
        "split": facts["split"],
        "origin": "real",
    }


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


def _dropped_table(made: Sequence[dict[str, Any]]) -> pd.DataFrame:
    counts: Counter[tuple[str, str]] = Counter()
    for one in made:
        for reason, split, count in one["dropped"]:
            counts[reason, split] += count
    return pd.DataFrame(
        [(reason, split, count) for (reason, split), count in sorted(counts.items())],
        columns=["reason", "split", "count"],
    ).astype({"reason": "string", "split": "string", "count": "int64"})


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


# ---- single windows, where somebody wants them ----------------------------------------------------------------------

CUT_STAGE = "cut-patches"
"""What made a set of such windows, as its manifest says."""

_REFUSED = {
    "too-little-breast": "breast covers too little of this window. Choose a place that lies farther inside.",
    "both-pathologies": "benign and malignant lesions reach into this window, so it is of no class.",
    "other-abnormality": "a lesion of another kind than the windows are cut for reaches into this window.",
    "lesion-partly-inside": "this window cuts a lesion. Choose a place around all of it, or away from it.",
    "lesion-nearby": "a lesion lies so near that the tissue of this window is not known to be normal. Choose a place "
    "farther away, or around the lesion.",
    "lesion-place-unknown": "this mammogram has a lesion whose place nobody said, so that nothing of it can be called "
    "normal. Choose another mammogram.",
    "pectoral-muscle": "this window shows too much of the pectoral muscle.",
}


@dataclass(frozen=True)
class Place:
    """Where a window lies: its upper left corner in a mammogram, in pixels of the working resolution."""

    mammogram_id: str
    top: int
    left: int


@dataclass(frozen=True)
class Patch:
    """One patch: its row of `PATCH_COLUMNS`, and its pictures.

    Attributes:
        facts: the row.
        image: (H, W) uint16 over 0..65535, bright = dense.
        mask: (H, W) bool, the lesions that belong to it; empty for normal tissue.
        breast: (H, W) bool, where breast is.
    """

    facts: dict[str, Any]
    image: StoredImage
    mask: Mask
    breast: Mask


def cut_patch(mammograms: MammogramSet, place: Place, settings: ExtractPatchesSettings) -> Patch:
    """Cut one window where somebody wants it, and label it as `extract_patches` would.

    Args:
        mammograms: what is cut from.
        place: of the window.
        settings: sizes and thresholds; the stride, and how many normal patches are kept, play no part.

    Raises:
        SettingsError: there is no such mammogram, or the window does not lie inside of it.
        MammofillError: `extract_patches` would drop the window; the message says why.
    """
    facts, image = _chosen_mammogram(mammograms, place, settings.size_px)
    size = settings.size_px
    box = np.s_[place.top : place.top + size, place.left : place.left + size]
    tissue = enlarge_tissue(mammograms.tissue(place.mammogram_id), (image.shape[0], image.shape[1]))[box]
    lesions = [
        replace(lesion, top=lesion.top - place.top, left=lesion.left - place.left)
        for lesion in _outlines(mammograms, place.mammogram_id, image.shape)
    ]
    windows, reasons = label_windows(
        tissue != Tissue.FILM,
        lesions,
        replace(settings, stride_px=size),
        bool(facts["all_lesions_located"]),
        tissue == Tissue.PECTORAL if settings.max_pectoral_share < 1 else None,
    )
    if not windows:
        raise MammofillError(f"{place.mammogram_id}, row {place.top}, column {place.left}: {_REFUSED[min(reasons)]}")
    (window,) = windows
    row = _row(replace(window, top=place.top, left=place.left), place.mammogram_id, facts, size)
    return Patch(
        row | {"attributes": _attributes(window, lesions)},
        widen(decode_png(encode_patch(np.ascontiguousarray(image[box]), settings.bits))),
        _window_mask(window, lesions, size),
        np.asarray(tissue != Tissue.FILM, np.bool_),
    )


def _chosen_mammogram(mammograms: MammogramSet, place: Place, size: int) -> tuple[dict[str, Any], StoredImage]:
    if not (mammograms.mammograms["mammogram_id"] == place.mammogram_id).any():
        raise SettingsError(f"{mammograms.folder} has no mammogram {place.mammogram_id!r}.")
    if place.mammogram_id in mammograms.crops:
        raise MammofillError(
            f"{place.mammogram_id} is a crop around its lesion, of which no window is cut. Paint over the lesion of a "
            "patch that was taken whole."
        )
    facts, image = mammograms.facts(place.mammogram_id), mammograms.image(place.mammogram_id)
    most_top, most_left = image.shape[0] - size, image.shape[1] - size
    if not (0 <= place.top <= most_top and 0 <= place.left <= most_left):
        raise SettingsError(
            f"{place.mammogram_id}: a window of {size} px at row {place.top}, column {place.left} does not lie inside "
            f"the mammogram, which has {image.shape[0]} x {image.shape[1]} px."
        )
    return facts, image


@dataclass(frozen=True)
class CutPatchesSettings:
    """How windows were cut by hand, for their manifest.

    Attributes:
        extraction: sizes and thresholds.
        places: of the windows, each its mammogram, top and left.
    """

    extraction: ExtractPatchesSettings
    places: tuple[Place, ...] = ()


def cut_patches(
    mammograms: MammogramSet, places: Sequence[Place], out: str | Path, settings: ExtractPatchesSettings
) -> PatchSet:
    """Cut windows at chosen places and keep them as a patch set, as `extract_patches` keeps its own.

    Args:
        mammograms: what is cut from.
        places: at least one; one that is named twice is cut once.
        out: folder of the new patch set.
        settings: see `cut_patch`, also for the errors.

    Raises:
        TooFewError: there are no places.
    """
    if not places:
        raise TooFewError(f"{out}: there is no place to cut a window at. Choose one.")
    once = tuple(dict.fromkeys(places))
    said = CutPatchesSettings(settings, once)
    inputs = {"mammograms": mammograms}
    with begin(out, kind=PatchSet.kind, stage=CUT_STAGE, settings=said, seed=0, inputs=inputs) as work:
        if work is not None:
            cut = [cut_patch(mammograms, place, settings) for place in once]
            write_shard(
                work.folder / "patches-00000.parquet",
                [one.facts for one in cut],
                [one.image for one in cut],
                [one.mask for one in cut],
                [one.breast for one in cut],
                bits=settings.bits,
            )
            write_index(work.folder)
            _dropped_table([]).to_parquet(work.folder / "dropped.parquet", index=False)
            classes = Counter(str(one.facts["pathology"]) for one in cut)
            work.finish({"patches": len(cut), **{name: classes[name] for name in ("normal", "benign", "malignant")}})
    return PatchSet.open(out)
