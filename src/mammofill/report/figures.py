"""The report's figures, drawn as SVG that comes out the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammofill.evaluation import Evaluation, roc_curve

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Tell apart with most kinds of colour vision (Okabe and Ito, "Color universal design", 2008)."""

_DASHES = ("-", "--", "-.", ":")

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "mammofill",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}

_CLOCK_COLUMNS = ("images_seen", "epoch")


def draw_roc(evaluations: Sequence[Evaluation]) -> bytes:
    """Draw the ROC curves of all arms in one square, each with a dot at its frozen threshold.

    Args:
        evaluations: on the same test set; the order is that of the legend.

    Returns:
        SVG.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        axes = figure.add_subplot(aspect="equal")
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":", label="guessing")
        for number, one in enumerate(evaluations):
            malignant = (one.scores["pathology"] == "malignant").to_numpy(dtype=bool)
            called, colour = one.called(), _COLOURS[number % len(_COLOURS)]
            dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
            axes.plot(
                *roc_curve(malignant, one.scores["logit"].to_numpy()),
                color=colour,
                linestyle=dashes,
                linewidth=1.5,
                label=_verbatim(one.arm),
            )
            axes.plot(called[~malignant].mean(), called[malignant].mean(), "o", color=colour, markersize=5)
        axes.set(xlabel="1 − specificity", ylabel="recall", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        # Below the curves, where no curve can run through long arm names.
        figure.legend(loc="outside lower left", ncols=1)
        return _svg(figure)


def draw_history(history: pd.DataFrame) -> bytes:
    """Draw training curves: one panel per quantity, the networks or splits that it was measured on as its lines.

    Args:
        history: ``images_seen`` and number columns; ``a.class`` and ``b.class`` share a panel, as do ``loss`` and
            ``validation_loss``.

    Returns:
        SVG.
    """
    numbers = (
        history.select_dtypes("number").drop(columns=list(_CLOCK_COLUMNS), errors="ignore").dropna(how="all", axis=1)
    )
    panels: dict[str, list[str]] = {}
    for column in numbers.columns:
        panels.setdefault(_quantity(column), []).append(column)
    with mpl.rc_context(_STYLE):
        columns = min(3, max(1, len(panels)))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(3.2 * columns, 2.5 * rows), layout="constrained")
        for place, (quantity, lines) in enumerate(sorted(panels.items()), start=1):
            _draw_panel(figure.add_subplot(rows, columns, place), history, quantity, sorted(lines))
        return _svg(figure)


def _draw_panel(axes: Axes, history: pd.DataFrame, quantity: str, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        known = history[["images_seen", line]].dropna()
        # A line of few points needs dots to be seen at all.
        marker = "o" if len(known) <= 20 else None
        colour = _COLOURS[number % len(_COLOURS)]
        label = line.replace("_", " ").removesuffix("." + quantity)
        axes.plot(
            known["images_seen"], known[line], color=colour, marker=marker, markersize=3, linewidth=1.2, label=label
        )
    # One line needs no legend, so the title says whose it is.
    title = quantity if len(lines) > 1 else lines[0]
    axes.set_title(title.replace("_", " ").replace(".", ", ").replace("auc", "AUC"), fontsize=9, loc="left")
    axes.set_xlabel("images seen")
    if len(lines) > 1:
        axes.legend(fontsize=7)


def _quantity(column: str) -> str:
    return column.rsplit(".", 1)[-1].removeprefix("validation_").removeprefix("train_")


def _verbatim(text: str) -> str:
    """Keep matplotlib from reading dollar signs as formulas and a leading underscore as "no legend"."""
    return ("\u200b" + text if text.startswith("_") else text).replace("$", r"\$")


def _svg(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
