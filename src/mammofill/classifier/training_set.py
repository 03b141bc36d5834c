"""What an arm of a study learns from: real patches, so many synthetic or repeated ones for each, under which labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.errors import TooFewError
from mammofill.ground.seeding import stream
from mammofill.mammograms.vocabulary import Origin, Pathology

CLASSES = (Pathology.BENIGN, Pathology.MALIGNANT)


def compose(train: pd.DataFrame, settings: TrainClassifierSettings, seed: int) -> pd.DataFrame:
    """Choose the rows that are learned from.

    Args:
        train: rows of `examples.lesion_table` of the train split.
        settings: real, dose, repeats, dose_by, even_classes, synthetic_labels, synthetic_share, synthetic_first.
        seed: of the stage; decides which real patches are repeated and how labels are shuffled.

    Returns:
        Rows of the same columns. ``pathology`` is what a row is learned as; a repeated row stands there again.

    Raises:
        TooFewError: fewer synthetic patches of a class than the dose asks for; or none, of a class or at all, where
            batches shall hold a share of them.
    """
    real, synthetic = train[train["origin"] == Origin.REAL], train[train["origin"] == Origin.SYNTHETIC]
    if settings.dose is not None:
        synthetic = _first_of_each_class(synthetic, counts_at(settings.dose, real, settings.dose_by))
    if settings.even_classes:
        synthetic = _evening(real, synthetic)
    synthetic = _relabelled(synthetic, settings.synthetic_labels, stream(seed, "classifier", "labels"))
    _check_origins(real, synthetic, settings)
    parts = []
    if settings.real:
        parts = [real, _drawn_again(real, counts_at(settings.repeats, real, settings.dose_by), seed)]
    return pd.concat([*parts, synthetic], ignore_index=True)


def counts_at(dose: float, real: pd.DataFrame, by: str = "patch") -> dict[str, int]:
    """Return how many patches of each class make a dose: as many classes' shares as the real ones have.

    Args:
        dose: for each real patch or lesion.
        real: rows of the real patches.
        by: patch or lesion.

    Raises:
        TooFewError: it goes by lesion, but a patch does not say which lesions it holds.
    """
    return {name: round(dose * _count(real[real["pathology"] == name], by)) for name in CLASSES}


def _count(real: pd.DataFrame, by: str) -> int:
    """Count patches, or the lesions that they show; lesions are distinguished by patient and name."""
    if by == "patch":
        return len(real)
    held = real["lesion_ids"].fillna("").astype(str)
    if (held == "").any():
        patch = real["patch_id"][held == ""].iloc[0]
        raise TooFewError(
            f"The dose goes by lesion (dose_by), but patch {patch} does not say which lesions it holds. Cut the "
            "patches again, or set dose_by to patch."
        )
    lesions = held.str.split(" ").explode()
    return len(set(zip(real["patient_id"].loc[lesions.index], lesions, strict=True)))


def _evening(real: pd.DataFrame, synthetic: pd.DataFrame) -> pd.DataFrame:
    """Keep the first synthetic patches of each class, as many as even the classes out."""
    numbers = {name: tuple(int((one["pathology"] == name).sum()) for one in (real, synthetic)) for name in CLASSES}
    reached = min(of_real + of_synthetic for of_real, of_synthetic in numbers.values())
    return _first_of_each_class(synthetic, {name: max(0, reached - of_real) for name, (of_real, _) in numbers.items()})


def _check_origins(real: pd.DataFrame, synthetic: pd.DataFrame, settings: TrainClassifierSettings) -> None:
    """Refuse batches of an origin, or of a class of it where batches are balanced, of which there is nothing."""
    if settings.synthetic_share is None and not settings.synthetic_first:
        return
    setting = "synthetic_first" if settings.synthetic_share is None else "synthetic_share"
    for origin, rows in (("real", real), ("synthetic", synthetic)):
        for name in CLASSES if settings.balanced else ():
            if not (rows["pathology"] == name).any():
                raise TooFewError(f"{setting} and balanced ask for {origin} {name} patches, but there are none.")
        if not len(rows):
            raise TooFewError(
                f"{setting} asks for {origin} patches in the batches, but there are none. Give a set that has some, or "
                f"leave {setting} out."
            )


def _first_of_each_class(synthetic: pd.DataFrame, wanted: dict[str, int]) -> pd.DataFrame:
    parts = []
    for name, count in wanted.items():
        found = synthetic[synthetic["pathology"] == name]
        if len(found) < count:
            raise TooFewError(
                f"The dose asks for {count} synthetic {name} patches, but the sets hold {len(found)}. Make more with "
                "synthesize (ratio), or lower the dose."
            )
        parts.append(found.iloc[:count])
    return pd.concat(parts).sort_index()


def _relabelled(synthetic: pd.DataFrame, rule: str, random: np.random.Generator) -> pd.DataFrame:
    if rule == "asked" or not len(synthetic):
        return synthetic
    labels: NDArray[np.object_] = synthetic["pathology"].to_numpy(dtype=object)
    other = dict(zip(CLASSES, reversed(CLASSES), strict=True))
    changed = [other[label] for label in labels] if rule == "flipped" else random.permutation(labels)
    return synthetic.assign(pathology=pd.array(list(changed), dtype="string"))


def _drawn_again(real: pd.DataFrame, wanted: dict[str, int], seed: int) -> pd.DataFrame:
    """Return so many real rows again: all of them as often as they go in, the rest drawn without replacement."""
    parts = [real.iloc[:0]]
    for name, count in wanted.items():
        found = real[real["pathology"] == name]
        order = stream(seed, "classifier", "repeats", name).permutation(len(found))
        parts.append(found.iloc[np.resize(order, count) if len(found) else []])
    return pd.concat(parts)
