"""A study file fitted to a collection and to this machine, with comments: the command `init`.

It looks and guesses nothing: which collection it is, how many patients each split and class has, how large the images
are, whether there is a GPU, and which trained weights were downloaded before. What it writes runs as it is, and is
small enough to be run today; its comments say what to raise.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mammofill.audit.recognise import recognise
from mammofill.experiment.machine import kept_weights
from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import MammofillError, SettingsError, TooFewError
from mammofill.ground.file_names import file_name
from mammofill.ground.processes import Child, ChildDiedError, Limits
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.crops import is_cut_around_its_lesion
from mammofill.mammograms.reading import read_size
from mammofill.mammograms.sources.annotations import Collection, MammogramEntry
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.split import split_patients

_LOOKED_AT = 9
"""Images whose size is read."""
_TEST_SHARE = 0.3
"""Of patients, where we draw the split: with few patients the test set limits what can be shown."""


@dataclass(frozen=True)
class Found:
    """What was found of a collection.

    Attributes:
        source: its folder or table.
        name: which collection it is.
        mammograms: how many.
        patients: how many.
        normal: mammograms without a lesion.
        split: how the split is made: patients, or as the collection says (auto).
        counts: split -> class -> patients with such a lesion.
        abnormalities: kind -> lesions.
        rows: of the images, a typical number; None where none could be read.
        crops: whether the images look like crops, each cut around one lesion: then there is no tissue without one.
        left_out: what the tables name and cannot be used: words.
        called_otherwise: columns whose content belongs in a column of another name: words.
    """

    source: Path
    name: str
    mammograms: int
    patients: int
    normal: int
    split: str
    counts: Mapping[str, Mapping[str, int]]
    abnormalities: Mapping[str, int]
    rows: int | None
    crops: bool
    left_out: tuple[str, ...]
    called_otherwise: tuple[str, ...]


def write_first_study(source: str | Path, path: str | Path, device: str, collection: str | None = None) -> str:
    """Look at a collection and write a study file for it.

    Args:
        source: folder (or table) of the collection.
        path: the study file; it must not be there yet.
        device: where it is to run: cpu or cuda.
        collection: which collection it is; recognised where None.

    Returns:
        What was found and written, in words.

    Raises:
        SettingsError: the file is there already, or there is no such device.
        SourceError: the source is missing, not recognised, or cannot be read.
        TooFewError: its tables name no benign or no malignant lesion that can be used.
    """
    source, path = Path(source), Path(path)
    if device not in ("cpu", "cuda"):
        raise SettingsError(f"--device must be auto, cpu or cuda, but is {device!r}.")
    if path.exists():
        raise SettingsError(f"{path} is there already. Give another --out, or move it away: nothing is overwritten.")
    found = look_at(source, collection)
    _refuse_one_class(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, study_text(found, path, device))
    where, out = shlex.quote(str(path)), f"--out runs/{file_name(_name(found))}"
    test = found.counts["test"]
    can_show = (
        f"  mammofill plan {where} --benign {test['benign']} --malignant {test['malignant']}   # what it can show"
    )
    return "\n".join(
        [
            *_facts(found),
            *_empty_places(found),
            f"wrote {path}, for the {'GPU' if device == 'cuda' else 'CPU'} of this machine. Read its comments, then:",
            *([can_show] if all(test.values()) else []),  # there is no AUC without test patients of both classes
            f"  mammofill run {where} {out} --dry-run   # what would run; faults, all at once",
            f"  mammofill run {where} {out}",
        ]
    )


def _empty_places(found: Found) -> Iterator[str]:
    """Warn of splits without a patient of a class: `run` would refuse the study."""
    empty = [f"{split} {kind}" for split, of in found.counts.items() for kind, count in of.items() if not count]
    if empty:
        mend = "a column split in the table that gives each split patients of both classes"
        if found.split == "auto":
            mend = 'split = "patients" in [ingest], which draws a split instead of the collection\'s own'
        yield (
            f"WARNING: no patients for {', '.join(empty)}, so that `run` will refuse this study. Give more patients, "
            f"or {mend}."
        )


def _refuse_one_class(found: Found) -> None:
    """Raise TooFewError where not one patient has a benign, or a malignant, lesion."""
    for pathology in ("benign", "malignant"):
        if not any(of[pathology] for of in found.counts.values()):
            left_out = f" Left out: {found.left_out[0]}" if found.left_out else ""
            raise TooFewError(
                f"{found.source} ({found.name}) has no {pathology} lesion that can be used, but a study tells "
                f"malignant from benign ones.{left_out}"
            )


def look_at(source: Path, name: str | None = None) -> Found:
    """Look at a collection's tables, and at the size of a few of its images.

    Raises:
        SourceError: the source is missing, not recognised, or cannot be read.
        TooFewError: its tables name no lesion that can be used.
    """
    name = name or recognise(source)
    settings = IngestSettings(collection=name)
    collection = read_collection(source, settings)
    entries = collection.mammograms
    if not any(entry.lesions for entry in entries):
        first = f" The first thing left out: {collection.exclusions[0].found}" if collection.exclusions else ""
        raise TooFewError(f"{source} ({name}) names no lesion that can be used, so there is nothing to study.{first}")
    official = any(entry.official_split for entry in entries)
    drawn = IngestSettings(collection=name, split="auto" if official else "patients", test_share=_TEST_SHARE)
    split_of = split_patients(entries, drawn, 0).split_of
    kinds = Counter(lesion.abnormality for entry in entries for lesion in entry.lesions)
    return Found(
        source=source,
        name=name,
        mammograms=len(entries),
        patients=len(split_of),
        normal=sum(not entry.lesions and entry.all_lesions_located for entry in entries),
        split="auto" if official else "patients",
        counts=classes_of(collection, split_of),
        abnormalities=kinds,
        rows=size[0] if (size := typical_size(collection)) else None,
        crops=_are_crops(collection),
        left_out=_left_out(collection),
        called_otherwise=tuple(
            f"{one.found} {one.done}" for one in collection.decisions if one.rule == "column-called-otherwise"
        ),
    )


def classes_of(
    collection: Collection, split_of: Mapping[str, str], abnormality: str = "all"
) -> dict[str, dict[str, int]]:
    """Count the patients with a lesion of each class in each split: split -> benign, malignant -> patients.

    Args:
        collection: its tables.
        split_of: patient -> split.
        abnormality: which lesions count: mass, calcification, or all.
    """
    patients: dict[tuple[str, str], set[str]] = {}
    for entry in collection.mammograms:
        for lesion in entry.lesions:
            if abnormality in ("all", lesion.abnormality):
                patients.setdefault((split_of[entry.patient_id], lesion.pathology), set()).add(entry.patient_id)
    return {
        split: {kind: len(patients.get((split, kind), ())) for kind in ("benign", "malignant")}
        for split in ("train", "validation", "test")
    }


def typical_size(collection: Collection) -> tuple[int, int] | None:
    """Return the (rows, columns) of a typical image, from a few of them; None where none could be read."""
    sizes = []
    for entry in _some(collection):
        try:
            sizes.append(read_size(entry.image[0]))
        except MammofillError:
            continue  # ingest will report it
    return sorted(sizes)[len(sizes) // 2] if sizes else None


def _some(collection: Collection) -> Sequence[MammogramEntry]:
    """Return the few that are looked at."""
    return collection.mammograms[:: max(1, len(collection.mammograms) // _LOOKED_AT)]


def _are_crops(collection: Collection) -> bool:
    """Say whether all that are looked at are crops, each cut around one lesion; their masks are read for that."""
    if not all(len(entry.lesions) == 1 for entry in collection.mammograms):
        return False
    with Child(Limits(silent=True)) as child:
        try:
            return all(child.ask(is_cut_around_its_lesion, entry) for entry in _some(collection))
        except (ChildDiedError, MammofillError):
            return False  # ingest will report it


def _left_out(collection: Collection) -> tuple[str, ...]:
    rules: dict[str, list[str]] = {}
    for one in collection.exclusions:
        rules.setdefault(one.rule, []).append(one.found)
    return tuple(f"{rule} {len(found)}, the first: {found[0]}" for rule, found in rules.items())


def _facts(found: Found) -> Iterator[str]:
    """Yield what was found, a line each."""
    normal = (
        f"{counted(found.mammograms, 'mammograms')} ({found.normal} normal) of {counted(found.patients, 'patients')}"
    )
    yield f"{found.source}: {found.name}, {normal}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.abnormalities.items())
    crops = ", crops that were cut around one lesion each" if found.crops else ""
    yield f"lesions: {kinds}; images of {found.rows or 'unknown'} rows{crops}"
    origin = "as the collection says" if found.split == "auto" else "drawn by patient"
    yield f"split, {origin}; patients with a lesion (benign, malignant): " + ", ".join(
        f"{split} {of['benign']}, {of['malignant']}" for split, of in found.counts.items()
    )
    yield from (f"left out: {one}" for one in found.left_out)
    yield from found.called_otherwise


def study_text(found: Found, path: Path, device: str) -> str:
    """Return the text of the study file.

    Args:
        found: what there is.
        path: where the file will be; the source is named relative to it where that is possible.
        device: cpu or cuda.
    """
    on_gpu = device == "cuda"
    most = 2750 if on_gpu else 256
    height = min(most, found.rows) if found.rows else most
    size = 256 if on_gpu else 64
    return Template(_TEXT).substitute(
        facts="\n".join(f"#   {' '.join(line.split())}" for line in _facts(found)),
        name=_quoted(_name(found)),
        device=_line(f'device = "{device}"', "a GPU" if on_gpu else "without a GPU, so all is small"),
        collection=found.name,
        source=_quoted(_relative(found.source, path)),
        height=_line(f"height_px = {height}", _height_words(found)),
        split=_split_lines(found),
        size=_line(f"size_px = {size}", "side of a patch at that height: a large lesion and tissue around it"),
        cutting=_cutting(found, size),
        infiller=_INFILLER["gpu" if on_gpu else "cpu"],
        classifier=_classifier(on_gpu),
    )


def _height_words(found: Found) -> str:
    there = f"the images have about {found.rows}" if found.rows else "no image's size could be read"
    return f"rows of the working copies; {there}, the method's authors took 2750"


def _split_lines(found: Found) -> str:
    if found.split == "auto":
        return _line('split = "auto"', "the collection's own; a patient on two sides counts for the strictest")
    few = min(found.counts["test"].values())
    advice = f"{counted(few, 'patients')} in the smaller class" + (
        ": folds in [grid] would test everybody" if few < 30 else ""
    )
    return "\n".join(
        [
            _line('split = "patients"', "drawn by patient, from the seed"),
            "validation_share = 0.15",
            _line(f"test_share = {_TEST_SHARE}", advice),
        ]
    )


def _cutting(found: Found, size: int) -> str:
    """Return how patches are cut, and what follows from it for pairs and infillers."""
    if not found.crops:
        stride, windows = size // 4, size // 16
        return (
            f"stride_px = {stride}\n{_abnormality(found)}\n\n"
            "[infiller-windows]                # the infiller learns from each lesion in many places\n"
            f"stride_px = {windows}"
        )
    whole = _line("whole = true", "each image is one patch: there is no tissue around it to slide a window over")
    contexts = _line('contexts = "lesion"', "no tissue is without a lesion: lesions are painted over others")
    return f"{whole}\n{_abnormality(found)}\n\n[pair-patches]\n{contexts}\n\n{_CROP_HOLE}"


def _abnormality(found: Found) -> str:
    masses = found.abnormalities.get("mass", 0)
    others = sum(found.abnormalities.values()) - masses
    if not masses:
        return _line('abnormality = "all"', "there are no masses; all kinds of lesion are taken")
    words = f'{masses} masses; "all" takes the {others} other lesions, too' if others else "all lesions are masses"
    return _line('abnormality = "mass"', words)


def _line(setting: str, words: str) -> str:
    return f"{setting:<33} # {words}"


_CROP_HOLE = """[hole]                            # what is repainted for a lesion's mask: in all pairs, by the infiller
rule = "ellipse"
share = 0.3
plus_px = 2.0
rim_px = 3                        # a rim of each crop stays as it is"""

_INFILLER = {
    "cpu": """preset = "flow-small"
schedule.images = 3000            # minutes, to see all parts work; its default of 130,000 teaches shapes: hours
preview_every_images = 1000""",
    "gpu": """preset = "flow"                   # 2,000,000 images; schedule.images says otherwise""",
}


def _classifier(on_gpu: bool) -> str:
    if not on_gpu:
        return """network = "shallow-cnn"           # minutes on a CPU; with a GPU: preset = "modern", instead of these
weights = "none"
input_px = 64
learning_rate = 1e-3
images = 6000
augmentation.traditional = true"""
    kept = kept_weights("convnext_tiny")
    words = (
        f"found: {kept}" if kept else "not here yet: torchvision downloads them once; or name a file with weights_file"
    )
    return f"""preset = "modern"                 # ConvNeXt-Tiny, from ImageNet's weights
# weights: {words}"""


def _name(found: Found) -> str:
    return found.source.resolve().stem or found.name


def _relative(source: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(source.resolve(), path.resolve().parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return source.resolve().as_posix()


def _quoted(text: str) -> str:
    """Return a text as TOML writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TEXT = """\
# A study of whether generated lesions help a classifier, written by `mammofill init`. What it found:
$facts
# It runs as it is. Every setting that is not here keeps its default: `mammofill STAGE --help` tells of all of them,
# and docs/studies.md of what else a study can ask. Mistakes are refused by name before anything runs.

name = $name
seed = 0                          # the only source of chance
$device

[ingest]
collection = "$collection"
source = $source
$height
$split

[extract-patches]
$size
$cutting

[train-infiller]
$infiller

[synthesize]
ratio = 0.5                       # generated lesions for each real one, at least; classes are balanced, too

[train-classifier]                # what both arms share
$classifier

[[arms]]
name = "real"

[[arms]]
name = "real + generated"         # differs from the arm above in nothing else, and is compared with it
synthetic = true

[grid]
infillers = 3                     # a replicate is infiller, fills and classifier: fewer than 3 are no finding

[judge-infiller]                  # what the infiller paints, looked at by the classifier of the arm "real"
cases = 200
"""
