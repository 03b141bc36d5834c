"""The report's figures, drawn as SVG that comes out the same each time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mammofill.ground.drawing import COLOURS, DASHES, STYLE, as_svg

_PANELS_IN_A_ROW = 3
"""More would be too small to read on a phone."""

_CLOCK_COLUMNS = ("images_seen", "epoch")


@dataclass(frozen=True)
class Curve:
    """One arm's line in a figure of curves."""

    arm: str
    words: str
    """What the legend says beside its name."""
    points: pd.DataFrame
    """x, y, and low and high where there is a band."""
    dot: tuple[float, float] | None = None
    """Where its frozen threshold lies."""


def draw_curves(curves: Sequence[Curve], across: str, up: str, chance: tuple[float, float]) -> bytes:
    """Draw the curves of all arms in one square, with their bands where there are few arms.

    Args:
        curves: in the order of the legend.
        across: what lies along the horizontal axis.
        up: what lies along the other.
        chance: how high the line of chance starts and ends.

    Returns:
        SVG.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6 + 0.19 * (len(curves) + 1)), layout="constrained")
        axes = figure.add_subplot(aspect="equal")
        axes.plot((0, 1), chance, color="#999999", linewidth=0.8, linestyle=":", label="chance")
        for number, one in enumerate(curves):
            colour = COLOURS[number % len(COLOURS)]
            dashes = DASHES[number // len(COLOURS) % len(DASHES)]
            label = _verbatim(f"{one.arm}: {one.words}" if one.words else one.arm)
            x, y = one.points["x"], one.points["y"]
            axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.5, label=label)
            if "low" in one.points and len(curves) <= MOST_BANDS:
                axes.fill_between(x, one.points["low"], one.points["high"], color=colour, alpha=0.12, linewidth=0)
            if one.dot is not None:
                axes.plot(*one.dot, "o", color=colour, markersize=5)
        axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        # Below the curves, where no curve can run through long arm names.
        figure.legend(loc="outside lower left", ncols=1, fontsize=8)
        return as_svg(figure)


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
    with mpl.rc_context(STYLE):
        columns = min(_PANELS_IN_A_ROW, max(1, len(panels)))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(1.9 * columns, 1.8 * rows), layout="constrained")
        for place, (quantity, lines) in enumerate(sorted(panels.items()), start=1):
            _draw_panel(figure.add_subplot(rows, columns, place), history, quantity, sorted(lines))
        return as_svg(figure)


def _draw_panel(axes: Axes, history: pd.DataFrame, quantity: str, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        known = history[["images_seen", line]].dropna()
        # A line of few points needs dots to be seen at all.
        marker = "o" if len(known) <= 20 else None
        colour = COLOURS[number % len(COLOURS)]
        label = line.replace("_", " ").removesuffix("." + quantity)
        axes.plot(
            known["images_seen"], known[line], color=colour, marker=marker, markersize=3, linewidth=1.2, label=label
        )
    # One line needs no legend, so the title says whose it is.
    title = quantity if len(lines) > 1 else lines[0]
    axes.set_title(title.replace("_", " ").replace(".", ", ").replace("auc", "AUC"), fontsize=9, loc="left")
    axes.set_xlabel("images seen")
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))  # more numbers run into each other
    if len(lines) > 1:
        axes.legend(fontsize=7)


def _quantity(column: str) -> str:
    return column.rsplit(".", 1)[-1].removeprefix("validation_").removeprefix("train_")


def _verbatim(text: str) -> str:
    """Keep matplotlib from reading dollar signs as formulas and a leading underscore as "no legend"."""
    return ("\u200b" + text if text.startswith("_") else text).replace("$", r"\$")


@dataclass(frozen=True)
class ForestRow:
    """One difference of a forest plot."""

    name: str
    numbers: str
    """The difference with its interval, and p where it was tested."""
    difference: float
    low: float
    high: float
    smallest: float
    """The smallest difference that could have been shown; NaN for none."""
    shown: bool
    """Whether it was shown: such a row stands out in colour."""


def draw_forest(rows: Sequence[ForestRow], words: str) -> bytes:
    """Draw differences with their intervals, one below the other, each under its name and beside its numbers.

    Args:
        rows: from the top.
        words: what lies along the axis.

    Returns:
        SVG.
    """
    with mpl.rc_context(STYLE):
        names = ["\n".join(textwrap.wrap(_verbatim(row.name), _FOREST_LETTERS)) for row in rows]
        heights = [0.34 + 0.16 * (name.count("\n") + 1) for name in names]
        figure = Figure(figsize=(4.9, 0.6 + sum(heights)), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)  # nothing runs through the names
        bottom = 0.0
        for row, name, height in zip(rows, names, heights, strict=True):
            place, bottom = bottom + height - 0.12, bottom + height
            colour = COLOURS[0] if row.shown else "#5b6570"
            axes.plot([0, 0], [place - 0.08, place + 0.12], color="#999999", linewidth=0.8)
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.8)
            axes.plot(row.difference, place, "o", color=colour, markersize=5.5)
            for end in (-row.smallest, row.smallest):
                axes.plot([end, end], [place - 0.06, place + 0.06], color="#9aa2a9", linewidth=1.4)
            beside = axes.get_yaxis_transform()  # across in shares of the panel, down in the units of the rows
            axes.text(0, place - 0.1, name, transform=beside, fontsize=8.5, va="bottom")
            axes.text(1.02, place, row.numbers, transform=beside, fontsize=8.5, va="center")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(bottom + 0.02, 0)
        axes.set_xlabel(words)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return as_svg(figure)


_FOREST_LETTERS = 52
"""Of a name in one line of a forest plot."""


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
    with mpl.rc_context(STYLE):
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
                part[axis], part["value"], yerr=bars, color=COLOURS[0], marker="o", markersize=4, linewidth=1.2,
                elinewidth=1, capsize=2, label="the arm" if number == 0 else None,
            )  # fmt: skip
            axes.set_title(_panel_title(name), fontsize=8, loc="left")
            # Both are doubled again and again: doses from 0, shares up to 1.
            if axis == "dose":
                axes.set_xscale("symlog", base=2, linthresh=min(place for place in places if place > 0))
            else:
                axes.set_xscale("log", base=2)
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        figure.supxlabel(axis_words, fontsize=9)
        figure.supylabel(value_words, fontsize=9)
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        return as_svg(figure)


MOST_BANDS = 3
"""Maximum number of arms whose bands can be distinguished in one panel."""


def _panels(count: int, *, share_y: bool = False, square: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many small panels, three in a row, and its panels."""
    columns = 2 if count == 4 else min(_PANELS_IN_A_ROW, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(1.8 * columns, 3.8), 2.0 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=share_y, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count] if square else ():
        axes.set_aspect("equal")
    return figure, grid[:count]


def _panel_title(name: str) -> str:
    """Break a long name, which would run into the next panel."""
    return "\n".join(textwrap.wrap(_verbatim(name), 24))


def draw_reliability(table: pd.DataFrame) -> bytes:
    """Draw reliability diagrams, an arm beside the other, before and after temperature scaling.

    The area of a dot is the number of patches behind it, so that a bin of one patch does not look like a finding.

    Args:
        table: arm, after_temperature, mean_score, malignant_share, patches.

    Returns:
        SVG.
    """
    arms = list(dict.fromkeys(table["arm"]))
    table = table[table["patches"] > 0]
    most = float(table["patches"].max())
    with mpl.rc_context(STYLE):
        figure, panels = _panels(len(arms), square=True)
        for number, (axes, arm) in enumerate(zip(panels, arms, strict=True)):
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
            for after, colour in ((False, COLOURS[1]), (True, COLOURS[0])):
                part = table[(table["arm"] == arm) & (table["after_temperature"] == after)]
                if number == 0:  # for the legend: dots of the same size
                    axes.scatter([], [], 20, color=colour, label="after" if after else "before")
                # No line from bin to bin: through bins of few patches it would be the loudest thing of the figure.
                axes.scatter(
                    part["mean_score"], part["malignant_share"], 3 + 60 * part["patches"] / most, color=colour,
                    alpha=0.75, linewidth=0,
                )  # fmt: skip
            axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_title(_panel_title(str(arm)), fontsize=8, loc="left")
        figure.supxlabel("score", fontsize=9)
        figure.supylabel("share that is malignant", fontsize=9)
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        return as_svg(figure)


def draw_attention(table: pd.DataFrame, headings: Mapping[str, str]) -> bytes:
    """Draw where the arms look: a panel for each answer, an arm below the other, chance beside each.

    Args:
        table: columns of `comparison.attention.ARM_ATTENTION_COLUMNS`.
        headings: measure -> heading of its panel.

    Returns:
        SVG.
    """
    arms = list(dict.fromkeys(table["arm"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 0.4 + len(headings) * (0.55 + 0.28 * len(arms))), layout="constrained")
        panels = figure.subplots(len(headings), 1, squeeze=False)[:, 0]
        for axes, (name, heading) in zip(panels, headings.items(), strict=True):
            part = table[table["measure"] == name].set_index("arm").loc[arms]
            places = range(len(arms))
            axes.hlines(places, part["low"], part["high"], color=COLOURS[0], linewidth=1.6)
            axes.plot(part["value"], places, "o", color=COLOURS[0], markersize=5, label="this arm")
            axes.plot(part["habit"], places, "|", color=COLOURS[1], markersize=11, label="by habit")
            axes.plot(part["area"], places, "|", color="#8a949d", markersize=11, label="by area")
            axes.set_title(heading, fontsize=9, loc="left")
            axes.set_xlim(left=0)
            axes.grid(axis="y", visible=False)
            axes.set_yticks(range(len(arms)), [_verbatim(arm) for arm in arms], fontsize=8)
            axes.set_ylim(len(arms) - 0.5, -0.5)
        lines, labels = panels[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower right", ncols=3, fontsize=8)
        return as_svg(figure)
