"""A selection in words and numbers: the printed table, and ``gate.json``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.infilling.settings import CLASSES
from mammofill.selection.gate import REASONS, Decision
from mammofill.selection.sets import ALL, KEPT, REAL, mean_over_classifiers

_WORDS = {
    "changed_outside": "changed outside the hole",
    "copy": "copy of a training lesion",
    "class_fidelity": "not of the requested class",
    "typicality": "unlike real lesions of the class",
    "seam": "seam at the hole shows",
    "detection": "looks painted",
}


def counts_of(decision: Decision, malignant: NDArray[np.bool_]) -> dict[str, int]:
    """Return the counts of ``artifact.json``: kept patches, by class, and refused ones by each of all their reasons."""
    kept = {name: int((decision.kept & (malignant == (name == "malignant"))).sum()) for name in CLASSES}
    refused = {f"refused_{name}": int(one.sum()) for name, one in decision.failed.items()}
    return {
        "patches": int(decision.kept.sum()),
        **kept,
        "painted": len(malignant),
        "refused": int(decision.refused.sum()),
        **refused,
    }


def dropped_of(decision: Decision) -> dict[tuple[str, str], int]:
    """Count what is left out by the gravest reason of each: (reason, split) -> fills, as `write_dropped` takes it."""
    return Counter((str(reason), "train") for reason in decision.first_reasons() if reason)


def table_of(
    decision: Decision, malignant: NDArray[np.bool_], sets: pd.DataFrame, classifiers: Sequence[Classifier]
) -> str:
    """Return what the command prints: counts by reason, and the set-level numbers before and after."""
    of_class = [malignant == (name == "malignant") for name in CLASSES]

    def counted(label: str, some: NDArray[np.bool_], alone: NDArray[np.bool_] | None = None) -> list[str]:
        cells = [
            str(int((some & own).sum())) + ("" if alone is None else f" ({int((alone & own).sum())} for this alone)")
            for own in of_class
        ]
        return [label, *cells]

    several = np.sum(list(decision.failed.values()), axis=0)
    lines = [["", *CLASSES], counted("painted", np.ones(len(malignant), np.bool_))]
    lines += [
        counted(f"refused: {_WORDS[name]}", decision.failed[name], decision.failed[name] & (several == 1))
        for name in REASONS
    ]
    lines += [counted("pass all", ~decision.refused)]
    lines += [counted("drawn at random, as many as the gate keeps" if decision.random else "kept", decision.kept)]
    labels = ", ".join(dict.fromkeys(one.label for one in classifiers))
    means = mean_over_classifiers(sets)
    shown = [["", REAL, ALL, KEPT], *[[str(name), *map(_number, row)] for name, row in means.iterrows()]]
    mean = "" if len(classifiers) == 1 else f", mean over {len(classifiers)} classifiers"
    words = f"Beside real validation lesions, in the features of {labels}{mean} (a dash: too few):"
    return f"{_aligned(lines)}\n\n{words}\n\n{_aligned(shown)}\n"


def gate_json(facts: Mapping[str, Any], sets: pd.DataFrame) -> str:
    """Return ``gate.json``: the facts of the gate, and the set-level numbers of each classifier (NaN becomes null)."""
    rows = [{name: _or_none(value) for name, value in row.items()} for row in sets.to_dict("records")]
    return json.dumps({**facts, "sets": rows}, indent=2) + "\n"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "".join(one.ljust(width + 2) for one, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
