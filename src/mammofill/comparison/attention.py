"""Whether the classifiers of one arm look elsewhere than those of another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from mammofill.evaluation.attention import (
    ANSWERS,
    ATTENTION_COLUMNS,
    ATTENTION_SUMMARY_COLUMNS,
    mean_of_patches,
)
from mammofill.evaluation.settings import EvaluateSettings

ARM_ATTENTION_COLUMNS = {
    "arm": "string",
    "replicates": "int64",  # whose maps' answers were averaged, patch by patch
    "measure": "string",  # peak_inside, energy_inside or energy_ring
    **{name: ATTENTION_SUMMARY_COLUMNS[name] for name in ("patches", "value", "low", "high", "area", "habit")},
    **{name: ATTENTION_SUMMARY_COLUMNS[name] for name in ("gain", "gain_low", "gain_high")},
    "shift": "float64",  # value less that of the reference arm, on the patches that both have maps of; NaN for itself
    "shift_low": "float64",
    "shift_high": "float64",
}


def attention_of_arms(
    tables: Mapping[str, Sequence[pd.DataFrame]], reference: str, settings: EvaluateSettings, seed: int
) -> pd.DataFrame:
    """Compare where the classifiers of several arms look.

    Args:
        tables: arm -> one table with the columns of `ATTENTION_COLUMNS` for each replicate, all on one test set.
        reference: the arm from which a shift is measured.
        settings: resamples and confidence.
        seed: decides the resamples, the same ones for all arms.

    Returns:
        Columns of `ARM_ATTENTION_COLUMNS`, of benign and malignant patches together; intervals over patients.
    """
    means = {arm: _mean_over_replicates(several) for arm, several in tables.items()}
    at_reference = means[reference].set_index("patch_id")
    rows: list[tuple[object, ...]] = []
    for arm, table in means.items():
        seen = table[table["energy_inside"].notna()]
        for name, (area, habit) in ANSWERS.items():
            value = mean_of_patches(seen, seen[name], settings, seed, "share")
            gain = mean_of_patches(seen, seen[name] - seen[habit], settings, seed, "difference")
            shift = (math.nan,) * 3
            if arm != reference:
                moved = seen[name] - at_reference[name].reindex(seen["patch_id"]).to_numpy()
                both = moved.notna()
                shift = mean_of_patches(seen[both], moved[both], settings, seed, "difference")
            counted = (arm, len(tables[arm]), name, len(seen))
            rows.append((*counted, *value, seen[area].mean(), seen[habit].mean(), *gain, *shift))
    return pd.DataFrame(rows, columns=list(ARM_ATTENTION_COLUMNS)).astype(ARM_ATTENTION_COLUMNS)


def _mean_over_replicates(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Average each patch's answers; a replicate whose map was 0 everywhere has none."""
    together = pd.concat(tables, ignore_index=True).groupby("patch_id", sort=False)
    named = together[["patient_id", "pathology"]].first()
    return named.join(
        together[[name for name, kind in ATTENTION_COLUMNS.items() if kind == "float64"]].mean()
    ).reset_index()
