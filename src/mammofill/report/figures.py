"""The report's figures, drawn as SVG that comes out the same each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def draw_forest(rows: Sequence[tuple[str, float, float, float, float, float]]) -> bytes:
    """Draw differences with their intervals, one below the other.

    Args:
        rows: name, difference, low, high, the smallest difference that could have been shown (NaN for none), and the
            adjusted p (NaN for none).

    Returns:
        SVG.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color="#999999", linewidth=0.8)
        for place, (_, difference, low, high, smallest, _) in enumerate(rows):
            clear = low > 0 or high < 0
            colour = _COLOURS[0] if clear else "#5b6570"
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axes.plot(difference, place, "o", color=colour, markersize=5)
            for end in (-smallest, smallest):
                axes.plot([end, end], [place - 0.3, place + 0.3], color="#b0b7bd", linewidth=1.2)
        names = [f"{_verbatim(name)}{_p_words(p)}" for name, *_, p in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("difference")
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def _p_words(p: float) -> str:
    if not math.isfinite(p):
        return ""
    return "   p < 0.001" if p < 0.001 else f"   p = {p:.3f}"


def draw_lines(
    lines: Mapping[str, pd.DataFrame], axis: str, axis_words: str, value_words: str, level: tuple[str, float] | None
) -> bytes:
    """Draw a measure against a number, a line for each arm, with bars for its intervals.

    Args:
        lines: name -> rows with the column `axis`, value, low, high.
        axis: column of the horizontal axis.
        axis_words: what it is called.
        value_words: what the measure is called.
        level: name and value of what all are compared with, as a line across; None for none.

    Returns:
        SVG.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        everywhere = [value for part in lines.values() for value in part[axis]]
        step = 0.012 * (max(everywhere) - min(everywhere))
        for number, (name, part) in enumerate(lines.items()):
            # Beside each other, or the bars of several arms would hide one another.
            places = part[axis] + (number - (len(lines) - 1) / 2) * step
            bars = [part["value"] - part["low"], part["high"] - part["value"]]
            axes.errorbar(
                places, part["value"], yerr=bars, color=_COLOURS[number % len(_COLOURS)], marker="o", markersize=4,
                linewidth=1.2, elinewidth=0.8, linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
                label=_verbatim(name),
            )  # fmt: skip
        if level is not None:
            axes.axhline(level[1], color="#5b6570", linewidth=1, linestyle=":", label=_verbatim(level[0]))
        axes.set(xlabel=axis_words, ylabel=value_words)
        figure.legend(loc="outside right upper", fontsize=8)
        return _svg(figure)


def draw_bands(curves: pd.DataFrame) -> bytes:
    """Draw ROC and precision-recall curves with their bands.

    Args:
        curves: arm, curve (roc or pr), x, y, low, high.

    Returns:
        SVG.
    """
    words = {"roc": ("1 − specificity", "recall"), "pr": ("recall", "precision")}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 4.2), layout="constrained")
        for place, (kind, (across, up)) in enumerate(words.items(), start=1):
            axes = figure.add_subplot(1, 2, place, aspect="equal")
            for number, (arm, part) in enumerate(curves[curves["curve"] == kind].groupby("arm", sort=False)):
                colour = _COLOURS[number % len(_COLOURS)]
                label = _verbatim(str(arm)) if place == 1 else None
                dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
                axes.plot(part["x"], part["y"], color=colour, linewidth=1.3, linestyle=dashes, label=label)
                axes.fill_between(part["x"], part["low"], part["high"], color=colour, alpha=0.08, linewidth=0)
            axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        figure.legend(loc="outside lower left", ncols=3, fontsize=8)
        return _svg(figure)


def draw_reliability(table: pd.DataFrame) -> bytes:
    """Draw how often what was scored came true, an arm beside the other, before and after the temperature.

    Args:
        table: arm, after_temperature, mean_score, malignant_share, patches.

    Returns:
        SVG.
    """
    arms = list(dict.fromkeys(table["arm"]))
    columns = min(4, len(arms))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.3 * columns, 2.4 * -(-len(arms) // columns)), layout="constrained")
        for place, arm in enumerate(arms, start=1):
            axes = figure.add_subplot(-(-len(arms) // columns), columns, place, aspect="equal")
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
            for after, colour in ((False, _COLOURS[1]), (True, _COLOURS[0])):
                part = table[(table["arm"] == arm) & (table["after_temperature"] == after) & (table["patches"] > 0)]
                label = ("after" if after else "before") if place == 1 else None
                axes.plot(part["mean_score"], part["malignant_share"], "o-", color=colour, markersize=3, label=label)
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.set_title(_verbatim(str(arm)), fontsize=8, loc="left")
        figure.supxlabel("score", fontsize=9)
        figure.supylabel("share that is malignant", fontsize=9)
        figure.legend(loc="outside lower right", ncols=2, fontsize=8)
        return _svg(figure)


def draw_attention(table: pd.DataFrame, headings: Mapping[str, str]) -> bytes:
    """Draw where the arms look: a panel for each answer, an arm below the other, chance beside each.

    Args:
        table: columns of `evaluation.attention.ARM_ATTENTION_COLUMNS`.
        headings: measure -> heading of its panel.

    Returns:
        SVG.
    """
    arms = list(dict.fromkeys(table["arm"]))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 1.1 + 0.32 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(headings), sharey=True, squeeze=False)[0]
        for axes, (name, heading) in zip(panels, headings.items(), strict=True):
            part = table[table["measure"] == name].set_index("arm").loc[arms]
            places = range(len(arms))
            axes.hlines(places, part["low"], part["high"], color=_COLOURS[0], linewidth=1.6)
            axes.plot(part["value"], places, "o", color=_COLOURS[0], markersize=5, label="this arm")
            axes.plot(part["habit"], places, "|", color=_COLOURS[1], markersize=11, label="by habit")
            axes.plot(part["area"], places, "|", color="#8a949d", markersize=11, label="by area")
            axes.set_title(heading, fontsize=9, loc="left")
            axes.set_xlim(left=0)
            axes.grid(axis="y", visible=False)
        panels[0].set_yticks(range(len(arms)), [_verbatim(arm) for arm in arms])
        panels[0].set_ylim(len(arms) - 0.5, -0.5)
        lines, labels = panels[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower right", ncols=3, fontsize=8)
        return _svg(figure)
