"""How much a study will do, and how long that takes where a finished artifact nearby gives the rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study
from mammofill.ground.artifact import MANIFEST_NAME, TAKEN_OVER, Manifest, read_manifest, settings_of_plan
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError
from mammofill.ground.progress import in_words

_DEPTHS = ("*", "*/*", "*/*/*")
"""Where finished artifacts are looked for, below the study's folder and its parent."""

_HOW_KNOWN = (
    "A rate is known once one such step is finished there: a training of the same network on the same device, any "
    "other step with the same settings."
)


def effort_lines(study: Study, out: Path, device: str) -> Iterator[str]:
    """Yield steps, images and time, a line each.

    Args:
        study: that was read.
        out: its folder; rates are measured on what is finished there and beside it.
        device: where it is to run.
    """
    waiting = [step for step in study.steps if not (out / step.out / MANIFEST_NAME).is_file()]
    yield f"steps   {len(study.steps)}, of which {len(study.steps) - len(waiting)} are done"
    for name, images in _images(waiting).items():
        yield f"images  {name}: {images}"
    finished = list(_finished(out))
    took = [(step, seconds_of(step, finished, device)) for step in waiting]
    known = [seconds for _, seconds in took if seconds is not None]
    unknown = Counter(step.stage.name for step, seconds in took if seconds is None)
    if not waiting:
        return
    if not any(known):
        yield f"time    unknown: no comparable step was finished in {out} or beside it. {_HOW_KNOWN}"
        return
    missing = ", ".join(f"{count} {name}" for name, count in unknown.items())
    more = f"; not counting {missing}, for which no comparable step was finished here. {_HOW_KNOWN}" if missing else ""
    steps = counted(len(known), "steps")
    yield f"time    about {in_words(sum(known))} for {steps}, at rates that were measured nearby{more}"


def images_of(settings: Any) -> int | None:
    """Return how many images a training is to see; None where that follows from the patches."""
    schedule = getattr(settings, "schedule", None)
    images = settings.images if hasattr(settings, "images") else getattr(schedule, "images", None)
    return images if isinstance(images, int) else None


def _images(steps: list[Step]) -> Mapping[str, str]:
    words_by_stage: dict[str, list[str]] = {}
    for step in steps:
        if _is_trained(step):
            images = images_of(step.settings)
            passes = getattr(step.settings, "epochs", None)
            words = f"{images:,}" if images else f"{passes} passes over the patches" if passes else "as its epochs say"
            words_by_stage.setdefault(step.stage.name, []).append(words)
    return {
        name: ", ".join(f"{count} x {words}" for words, count in Counter(several).items())
        for name, several in words_by_stage.items()
    }


def _is_trained(step: Step) -> bool:
    """Say whether a step sees images: pasted lesions need no training, nor does a trial of two trained classifiers."""
    nothing_is_left = len(step.inputs.get(TAKEN_OVER, ())) == 2
    has_length = hasattr(step.settings, "images") or hasattr(step.settings, "schedule")
    return step.stage.name in ("train-infiller", "train-classifier") and has_length and not nothing_is_left


def _finished(out: Path) -> Iterator[Manifest]:
    paths = {path for root in (out, out.parent) for depth in _DEPTHS for path in root.glob(f"{depth}/{MANIFEST_NAME}")}
    for path in sorted(paths):
        try:
            yield read_manifest(path.parent)
        except ArtifactError:
            continue  # damaged, or a newer version's: it gives no rate


def seconds_of(step: Step, finished: list[Manifest], device: str) -> float | None:
    """Return how long a step will take, from finished ones of the same stage; None where none is like it.

    The time of a training is estimated from its images, by others of the same network on the same device; any other
    stage takes as long as one with the same settings did.
    """
    taken_over = len(step.inputs.get(TAKEN_OVER, ()))
    trainings = _trainings(settings_of_plan(step.settings)) - taken_over
    if taken_over and not trainings:
        return 0.0
    same = [one for one in finished if one.stage == step.stage.name and one.wall_seconds > 0 and _did_all(one)]
    wanted = images_of(step.settings)
    if wanted is None:
        took = [one.wall_seconds for one in same if one.settings == settings_of_plan(step.settings)]
        return median(took) if took else None
    network = _network(settings_of_plan(step.settings))
    alike = [one for one in same if one.device == device and _network(one.settings) == network]
    rates = [
        one.wall_seconds / images / _trainings(one.settings)
        for one in alike
        if (images := one.counts.get("images_seen"))
    ]
    return median(rates) * wanted * trainings if rates else None


def _did_all(made: Manifest) -> bool:
    """Say whether a step did all of its work itself: else it gives no rate."""
    return all(record.role != TAKEN_OVER for record in made.inputs)


def _trainings(settings: Mapping[str, Any]) -> int:
    """Count the trainings behind a classifier: two where fills are on trial."""
    return 2 if settings.get("synthetic_if_better") else 1


def _network(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(settings.get(name) for name in ("method", "network", "generator", "input_px"))
