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
        settings: real, dose, repeats, synthetic_labels.
        seed: of the stage; decides which real patches are repeated and how labels are shuffled.

    Returns:
        Rows of the same columns. ``pathology`` is what a row is learned as; a repeated row stands there again.

    Raises:
        TooFewError: fewer synthetic patches of a class than the dose asks for.
    """
    real, synthetic = train[train["origin"] == Origin.REAL], train[train["origin"] == Origin.SYNTHETIC]
    if settings.dose is not None:
        synthetic = _first_of_each_class(synthetic, counts_at(settings.dose, real))
    synthetic = _relabelled(synthetic, settings.synthetic_labels, stream(seed, "classifier", "labels"))
    parts = [real, _drawn_again(real, settings.repeats, seed)] if settings.real else []
    return pd.concat([*parts, synthetic], ignore_index=True)


def counts_at(dose: float, real: pd.DataFrame) -> dict[str, int]:
    """Return how many patches of each class make a dose: as many classes' shares as the real ones have."""
    return {name: round(dose * int((real["pathology"] == name).sum())) for name in CLASSES}


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


def _drawn_again(real: pd.DataFrame, repeats: float, seed: int) -> pd.DataFrame:
    """Return so many real rows again: all of them as often as they go in, the rest drawn without replacement."""
    parts = [real.iloc[:0]]
    for name, count in counts_at(repeats, real).items():
        found = real[real["pathology"] == name]
        order = stream(seed, "classifier", "repeats", name).permutation(len(found))
        parts.append(found.iloc[np.resize(order, count) if len(found) else []])
    return pd.concat(parts)
