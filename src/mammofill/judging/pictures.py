"""Pictures of a judgement: the contact sheet, and the spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.drawing import COLOURS
from mammofill.ground.imaging import Mask, StoredImage, encode_png
from mammofill.judging.cases import Cases

_CELL_PX = 128
_GAP_PX = 4
_MARGIN_PX = 150
_LETTER = cv2.FONT_HERSHEY_SIMPLEX

_BLACK, _GRAY, *_OTHERS = "#000000", "#999999", *COLOURS[:-1]
"""Black and gray for real lesions and nothing painted, then those of all figures."""
_DASHES = ("-", "-.", ":")
"""The second and the third time that a colour is used."""
_LEGEND_INCHES = 0.18
"""Height of a line of the legend, which has two columns."""


def contact_sheet(cases: Cases, fills: Mapping[str, tuple[NDArray[np.uint16], NDArray[np.uint16]]]) -> bytes:
    """Show the same cases filled by each infiller.

    Args:
        cases: one column each, the first ones.
        fills: infiller -> its benign and its malignant fills of the first cases, (n, H, W) each.

    Returns:
        PNG. Rows: context, mask, the real lesion that lent it, then for each infiller benign and malignant fill. A
        column has one stretch of gray, between the 0.5th percentile of its context and the highest 99.5th of context
        and lesion; the lesion is another patient's and is shifted to the context's median.
    """
    count = len(next(iter(fills.values()))[0])
    contexts, donors = cases.contexts, cases.donors
    lent = [_shifted(donors.images[k], donors.masks[k], contexts.images[k]) for k in range(count)]
    windows = [_window(contexts.images[k], lent[k]) for k in range(count)]
    requested = ["malignant" if one else "benign" for one in contexts.malignant[:count]]
    rows = [
        labelled_row("context", [gray(contexts.images[k], windows[k]) for k in range(count)]),
        labelled_row("mask", [contexts.masks[k].astype(np.uint8) * 255 for k in range(count)]),
        labelled_row("real lesion", [gray(lent[k], windows[k]) for k in range(count)], requested),
    ]
    for name, (benign, malignant) in fills.items():
        rows.append(_heading(name, rows[0].shape[1]))
        rows += [
            labelled_row(word, [gray(some[k], windows[k]) for k in range(count)])
            for word, some in (("filled benign", benign), ("filled malignant", malignant))
        ]
    return encode_png(np.vstack(rows))


def draw_spectra(spectra: pd.DataFrame) -> bytes:
    """Draw mean power against frequency: as it is, and as a share of real lesions'.

    Args:
        spectra: from `spectrum.spectra_table`, real lesions first.

    Returns:
        PNG.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
             "grid.color": "#e5e5e5", "legend.frameon": False}  # fmt: skip
    with mpl.rc_context(style):
        subjects = list(dict.fromkeys(spectra["subject"]))
        height = 3.8 + _LEGEND_INCHES * ((len(subjects) + 1) // 2)
        figure = Figure(figsize=(9, height), layout="constrained", dpi=110)
        left, right = figure.subplots(1, 2)
        first = spectra[spectra["subject"] == subjects[0]]["power"].to_numpy()
        for number, subject in enumerate(subjects):
            own = spectra[spectra["subject"] == subject]
            colour, dashes = _line_of(number)
            label = str(subject).replace("$", r"\$")
            left.plot(own["frequency"], own["power"], color=colour, linestyle=dashes, label=label)
            right.plot(own["frequency"], 10.0 ** (own["power"].to_numpy() - first), color=colour, linestyle=dashes)
        deviation = spectra[spectra["subject"] == subjects[0]]["deviation"].to_numpy()
        frequency = spectra[spectra["subject"] == subjects[0]]["frequency"].to_numpy()
        left.fill_between(frequency, first - deviation, first + deviation, color="#000000", alpha=0.1, linewidth=0)
        left.set(xlabel="cycles per pixel", ylabel="log10 of power in the box around the hole")
        right.set(xlabel="cycles per pixel", ylabel="power, times real lesions'", yscale="log")
        figure.legend(fontsize=8, loc="outside lower center", ncols=2)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _line_of(number: int) -> tuple[str, str]:
    """Return colour and style of a subject's line, so that no two of some twenty look the same."""
    if number < 2:
        return ((_BLACK, "-"), (_GRAY, "--"))[number]
    turn, colour = divmod(number - 2, len(_OTHERS))
    return _OTHERS[colour], _DASHES[turn % len(_DASHES)]


def _shifted(image: StoredImage, mask: Mask, towards: StoredImage) -> NDArray[np.float64]:
    return image.astype(np.float64) + (np.median(towards.astype(np.float64)) - np.median(image[~mask]))


def _window(context: StoredImage, lent: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(context, [0.5, 99.5])
    return float(low), float(max(high, np.percentile(lent, 99.5), low + 1))


def gray(image: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Bring the levels of an image between the lower and the upper end of a window to 0..255."""
    low, high = window
    return np.rint(np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def labelled_row(label: str, cells: Sequence[NDArray[np.uint8]], words: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Return a row of a contact sheet, (H, W) uint8: a label, then pictures (H, W) side by side, each with a word."""
    row = np.full((_CELL_PX + _GAP_PX, _MARGIN_PX + len(cells) * (_CELL_PX + _GAP_PX)), 255, np.uint8)
    cv2.putText(row, label, (6, _CELL_PX // 2), _LETTER, 0.45, 0, 1, cv2.LINE_AA)
    for number, one in enumerate(cells):
        left = _MARGIN_PX + number * (_CELL_PX + _GAP_PX)
        size = (_CELL_PX, _CELL_PX)
        how = cv2.INTER_AREA if len(one) > _CELL_PX else cv2.INTER_CUBIC
        row[:_CELL_PX, left : left + _CELL_PX] = cv2.resize(one, size, interpolation=how)
        if words:
            cv2.putText(row, words[number], (left + 4, 14), _LETTER, 0.4, 255, 1, cv2.LINE_AA)
    return row


def _heading(name: str, width: int) -> NDArray[np.uint8]:
    row = np.full((24, width), 225, np.uint8)
    cv2.putText(row, name, (6, 17), _LETTER, 0.5, 0, 1, cv2.LINE_AA)
    return row
