"""Whether the classifiers of one arm look elsewhere than those of another, over patients and training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.comparison.design import Trained, infillers_of, training_sets
from mammofill.evaluation.attention import ANSWERS, ATTENTION_SUMMARY_COLUMNS
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.intervals import Replicates, Resamples, by_chain
from mammofill.evaluation.metrics import Weights
from mammofill.evaluation.settings import EvaluateSettings
from mammofill.ground.seeding import stream

ARM_ATTENTION_COLUMNS = {
    "arm": "string",
    "infillers": "int64",  # 0 where there are none
    "classifiers": "int64",
    "measure": "string",  # peak_inside, energy_inside or energy_ring
    **{name: ATTENTION_SUMMARY_COLUMNS[name] for name in ("patches", "value", "low", "high", "area", "habit")},
    **{name: ATTENTION_SUMMARY_COLUMNS[name] for name in ("gain", "gain_low", "gain_high")},
    "shift": "float64",  # value less that of the reference arm; NaN for itself
    "shift_low": "float64",
    "shift_high": "float64",
    "shift_is_tested": "bool",  # whether both arms, including their infillers, were trained several times
}


def attention_of_arms(
    arms: Mapping[str, Sequence[Evaluation]], reference: str, settings: EvaluateSettings, seed: int
) -> pd.DataFrame:
    """Compare where the classifiers of several arms look.

    Args:
        arms: name -> evaluations of one test set that have attention maps (`Evaluation.has_attention`).
        reference: the arm from which a shift is measured.
        settings: resamples and confidence.
        seed: decides the resamples, the same ones for all arms.

    Returns:
        Columns of `ARM_ATTENTION_COLUMNS`, of benign and malignant patches together; intervals over patients, and over
        training where an arm was trained several times.
    """
    first = arms[reference][0].attention
    patches, patients = first["patch_id"], first["patient_id"].to_numpy(dtype=object)
    resamples = Resamples.draw(patients, settings.resamples, stream(seed, "attention"))
    tables = {
        arm: [one.attention.set_index("patch_id").reindex(patches) for one in several] for arm, several in arms.items()
    }

    def replicates(arm: str, column: str, less: str = "") -> Replicates:
        return _replicates(tables[arm], arms[arm], column, less, resamples)

    rows: list[tuple[object, ...]] = []
    for arm, several in arms.items():
        trained = Trained.of(several)
        tested = arm != reference and min(trained.replicates, Trained.of(arms[reference]).replicates) > 1
        seen = int(pd.concat(tables[arm])["energy_inside"].groupby(level=0).any().sum())
        for name, (area, habit) in ANSWERS.items():
            own = replicates(arm, name)
            value, gain = own.spread(), replicates(arm, name, habit).spread("difference")
            shift = (math.nan,) * 3
            if arm != reference:
                moved = own.minus(replicates(reference, name))
                shift = (moved.value, *moved.interval(settings.confidence))
            means = [float(np.nanmean([table[column].mean() for table in tables[arm]])) for column in (area, habit)]
            counted = (arm, trained.infillers, trained.classifiers, name, seen)
            intervals = (value.interval(settings.confidence), gain.interval(settings.confidence))
            rows.append((*counted, value.value, *intervals[0], *means, gain.value, *intervals[1], *shift, tested))
    return pd.DataFrame(rows, columns=list(ARM_ATTENTION_COLUMNS)).astype(ARM_ATTENTION_COLUMNS)


def _replicates(
    tables: Sequence[pd.DataFrame], evaluations: Sequence[Evaluation], column: str, less: str, resamples: Resamples
) -> Replicates:
    """Average a column (less another) over the patches of which each classifier has a map; one value per replicate."""
    values, draws = [], []
    for table in tables:
        numbers = table[column].to_numpy(dtype=np.float64)
        if less:
            numbers = numbers - table[less].to_numpy(dtype=np.float64)
        seen = np.isfinite(numbers)

        def mean(
            weights: Weights, known: NDArray[np.float64] = np.where(seen, numbers, 0.0), seen: NDArray[np.bool_] = seen
        ) -> dict[str, NDArray[np.float64]]:
            total = weights @ seen
            return {"mean": np.divide(weights @ known, total, out=np.full_like(total, np.nan), where=total > 0)}

        values.append(float(mean(np.ones((1, len(numbers))))["mean"][0]))
        draws.append(resamples.draws(mean)["mean"])
    infillers = infillers_of(evaluations)
    return by_chain(values, draws, infillers, len(resamples.names), training_sets(evaluations))
