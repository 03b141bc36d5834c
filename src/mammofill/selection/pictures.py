"""The picture of a selection: fills that are kept and fills that are refused, beside real lesions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import encode_png
from mammofill.ground.seeding import stream
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Lesions
from mammofill.judging.pictures import gray, labelled_row
from mammofill.selection.gate import REASONS, Decision
from mammofill.selection.settings import QUANTILES

_WORDS = {"class_fidelity": "class", "changed_outside": "outside the hole"}


def kept_and_refused(
    fills: Callable[[NDArray[np.int64]], NDArray[np.uint16]],
    malignant: NDArray[np.bool_],
    decision: Decision,
    real: Lesions,
    shown: int,
    seed: int,
) -> bytes:
    """Draw some real lesions, some kept fills, and some that are refused for each reason, of each class.

    Args:
        fills: returns (n, H, W) of rows.
        malignant: (N,) the requested class.
        decision: what becomes of the fills.
        real: of the validation split.
        shown: pictures in each row.
        seed: decides which, where there are more.

    Returns:
        PNG, one row of pictures for each that has any; each picture from its own 0.5th to its 99.5th percentile. In
        its corner stand the first letters of the scores by which it fails: C, T, S, D.
    """
    rows = []
    for name in CLASSES:
        own = malignant == (name == "malignant")
        of_real = _some(np.flatnonzero(real.malignant == (name == "malignant")), shown, seed, name, "real")
        rows.append(_row(f"real, {name}", real.images[of_real], shown))
        sets = {"drawn" if decision.random else "kept": decision.kept}
        sets |= {_WORDS.get(reason, reason): decision.failed[reason] for reason in REASONS}
        for label, some in sets.items():
            chosen = _some(np.flatnonzero(own & some), shown, seed, name, label)
            if len(chosen):
                words = [_letters(decision, row) for row in chosen.tolist()]
                rows.append(_row(f"{label}, {name}", fills(chosen), shown, words))
    return encode_png(np.vstack(rows))


def _some(rows: NDArray[np.int64], most: int, seed: int, *names: str) -> NDArray[np.int64]:
    return np.sort(stream(seed, "shown", *names).permutation(rows)[:most])


def _letters(decision: Decision, row: int) -> str:
    """Return the first letters of the scores for which a fill is refused, in capitals."""
    return "".join(name[0].upper() for name in QUANTILES if decision.failed[name][row])


def _row(label: str, images: NDArray[np.uint16], shown: int, words: list[str] | None = None) -> NDArray[np.uint8]:
    cells = [gray(one, _window(one)) for one in images]
    blank = [np.full(images.shape[1:], 255, np.uint8)] * (shown - len(cells))
    return labelled_row(label, [*cells, *blank], [*(words or []), *[""] * (shown - len(cells))] if words else ())


def _window(image: NDArray[np.uint16]) -> tuple[float, float]:
    low, high = np.percentile(image, [0.5, 99.5])
    return float(low), float(max(high, low + 1))
