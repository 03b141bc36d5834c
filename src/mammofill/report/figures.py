"""The report's figures, drawn as SVG that comes out the same each time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
        figure = Figure(figsize=(5.2, 4.4 + 0.19 * (len(evaluations) + 1)), layout="constrained")
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
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))  # more numbers run into each other
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


def draw_forest(rows: Sequence[tuple[str, float, float, float, float, float, bool]], words: str) -> bytes:
    """Draw differences with their intervals, one below the other.

    Args:
        rows: name, difference, low, high, the smallest difference that could have been shown (NaN for none), the p
            adjusted by Holm (NaN for none), and whether a difference was shown: those stand out in colour.
        words: what lies along the axis.

    Returns:
        SVG.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color="#999999", linewidth=0.8)
        for place, (_, difference, low, high, smallest, _, shown) in enumerate(rows):
            colour = _COLOURS[0] if shown else "#5b6570"
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axes.plot(difference, place, "o", color=colour, markersize=5)
            for end in (-smallest, smallest):
                axes.plot([end, end], [place - 0.3, place + 0.3], color="#b0b7bd", linewidth=1.2)
        names = [f"{_verbatim(name)}{_p_words(p)}" for name, *_, p, _ in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(words)
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def _p_words(p: float) -> str:
    if not math.isfinite(p):
        return ""
    return "   p < 0.001" if p < 0.001 else f"   p = {p:.3f}"


def draw_lines(
    lines: Mapping[str, pd.DataFrame], axis: str, axis_words: str, value_words: str, reference: tuple[str, pd.DataFrame]
) -> bytes:
    """Draw a measure against a number, a panel for each arm, with bars for its intervals; the reference behind each.

    Args:
        lines: name -> rows with the column `axis`, value, low, high.
        axis: column of the horizontal axis.
        axis_words: what it is called.
        value_words: what the measure is called.
        reference: name and rows of what all are compared with. One row is drawn as a level across, with its band, and
            as a dot at its own place.

    Returns:
        SVG.
    """
    name_of_reference, behind = reference
    places = sorted({float(place) for part in (behind, *lines.values()) for place in part[axis]})
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(lines), share_y=True)
        for number, (axes, (name, part)) in enumerate(zip(panels, lines.items(), strict=True)):
            level = behind.sort_values(axis)
            across = level[axis] if len(level) > 1 else places[:: max(len(places) - 1, 1)]
            middle, low, high = (
                level[column] if len(level) > 1 else [level[column].iloc[0]] * len(across)
                for column in ("value", "low", "high")
            )
            axes.fill_between(across, low, high, color="#5b6570", alpha=0.14, linewidth=0)
            axes.plot(across, middle, color="#5b6570", linewidth=1, linestyle=":")
            label = _verbatim(f"{name_of_reference}, for comparison") if number == 0 else None
            axes.plot(level[axis], level["value"], "o", color="#5b6570", markersize=3, label=label)
            bars = [part["value"] - part["low"], part["high"] - part["value"]]
            axes.errorbar(
                part[axis], part["value"], yerr=bars, color=_COLOURS[0], marker="o", markersize=4, linewidth=1.2,
                elinewidth=1, capsize=2, label="the arm" if number == 0 else None,
            )  # fmt: skip
            axes.set_title(_panel_title(name), fontsize=8, loc="left")
            if axis == "dose":  # doubled again and again, from 0
                axes.set_xscale("symlog", base=2, linthresh=min(place for place in places if place > 0))
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        figure.supxlabel(axis_words, fontsize=9)
        figure.supylabel(value_words, fontsize=9)
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        return _svg(figure)


_CURVES = {"roc": ("1 − specificity", "recall"), "pr": ("recall", "precision")}
"""Curve -> what is across and what is up."""

MOST_BANDS = 3
"""Arms whose bands can be told apart in one panel."""


def draw_curves(curves: pd.DataFrame, malignant_share: float) -> bytes:
    """Draw the ROC and precision-recall curves of all arms, with their bands where there are few arms.

    Args:
        curves: arm, curve (roc or pr), x, y, low, high.
        malignant_share: of the test patches: the precision of guessing.

    Returns:
        SVG.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 4.2), layout="constrained")
        for place, (kind, (across, up)) in enumerate(_CURVES.items(), start=1):
            axes = figure.add_subplot(1, 2, place, aspect="equal")
            _draw_guessing(axes, kind, malignant_share, "guessing" if place == 1 else None)
            of_arms = list(curves[curves["curve"] == kind].groupby("arm", sort=False))
            for number, (arm, part) in enumerate(of_arms):
                colour = _COLOURS[number % len(_COLOURS)]
                label = _verbatim(str(arm)) if place == 1 else None
                dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
                axes.plot(part["x"], part["y"], color=colour, linewidth=1.3, linestyle=dashes, label=label)
                if len(of_arms) <= MOST_BANDS:
                    axes.fill_between(part["x"], part["low"], part["high"], color=colour, alpha=0.12, linewidth=0)
            axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        figure.legend(loc="outside lower left", ncols=3, fontsize=8)
        return _svg(figure)


def draw_bands(curves: pd.DataFrame, kind: str, reference: str, malignant_share: float) -> bytes:
    """Draw one kind of curve with its band, a panel for each arm, the reference's curve behind each.

    Args:
        curves: arm, curve, x, y, low, high.
        kind: roc or pr.
        reference: the arm that all are compared with.
        malignant_share: of the test patches: the precision of guessing.

    Returns:
        SVG.
    """
    curves = curves[curves["curve"] == kind]
    behind = curves[curves["arm"] == reference]
    arms = [arm for arm in dict.fromkeys(curves["arm"]) if arm != reference]
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(arms), square=True)
        for number, (axes, arm) in enumerate(zip(panels, arms, strict=True)):
            part = curves[curves["arm"] == arm]
            first = number == 0
            _draw_guessing(axes, kind, malignant_share, "guessing" if first else None)
            axes.plot(
                behind["x"], behind["y"], color="#5b6570", linewidth=1, label=_verbatim(reference) if first else None
            )
            axes.plot(part["x"], part["y"], color=_COLOURS[0], linewidth=1.3, label="the arm" if first else None)
            axes.fill_between(part["x"], part["low"], part["high"], color=_COLOURS[0], alpha=0.15, linewidth=0)
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_title(_panel_title(arm), fontsize=8, loc="left")
        across, up = _CURVES[kind]
        figure.supxlabel(across, fontsize=9)
        figure.supylabel(up, fontsize=9)
        figure.legend(loc="outside upper right", ncols=3, fontsize=8)
        return _svg(figure)


def _draw_guessing(axes: Axes, kind: str, malignant_share: float, label: str | None) -> None:
    ends = (0, 1) if kind == "roc" else (malignant_share, malignant_share)
    axes.plot((0, 1), ends, color="#999999", linewidth=0.8, linestyle=":", label=label)


def _panels(count: int, *, share_y: bool = False, square: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many small panels, four in a row, and its panels."""
    columns = min(4, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(2.3 * columns, 4.6), 2.4 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=share_y, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count] if square else ():
        axes.set_aspect("equal")
    return figure, grid[:count]


def _panel_title(name: str) -> str:
    """Break a long name, which would run into the next panel."""
    return "\n".join(textwrap.wrap(_verbatim(name), 26))


def draw_reliability(table: pd.DataFrame) -> bytes:
    """Draw how often what was scored came true, an arm beside the other, before and after the temperature.

    The area of a dot is the number of patches behind it, so that a bin of one patch does not look like a finding.

    Args:
        table: arm, after_temperature, mean_score, malignant_share, patches.

    Returns:
        SVG.
    """
    arms = list(dict.fromkeys(table["arm"]))
    most = float(table["patches"].max())
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(arms), square=True)
        for number, (axes, arm) in enumerate(zip(panels, arms, strict=True)):
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
            for after, colour in ((False, _COLOURS[1]), (True, _COLOURS[0])):
                part = table[(table["arm"] == arm) & (table["after_temperature"] == after) & (table["patches"] > 0)]
                label = ("after" if after else "before") if number == 0 else None
                axes.plot(part["mean_score"], part["malignant_share"], color=colour, linewidth=0.8, label=label)
                areas = 3 + 50 * part["patches"] / most
                axes.scatter(part["mean_score"], part["malignant_share"], areas, color=colour, alpha=0.8, linewidth=0)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_title(_panel_title(str(arm)), fontsize=8, loc="left")
        figure.supxlabel("score", fontsize=9)
        figure.supylabel("share that is malignant", fontsize=9)
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        return _svg(figure)


def draw_attention(table: pd.DataFrame, headings: Mapping[str, str]) -> bytes:
    """Draw where the arms look: a panel for each answer, an arm below the other, chance beside each.

    Args:
        table: columns of `comparison.attention.ARM_ATTENTION_COLUMNS`.
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
