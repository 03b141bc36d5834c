"""What all figures have in common: colours, lines, and SVG that comes out the same each time."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Distinguishable with most kinds of colour vision (Okabe and Ito, "Color universal design", 2008)."""

DASHES = ("-", "--", "-.", ":")
"""For what comes after the last colour."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "mammofill",
    "svg.fonttype": "path",
    "font.size": 9,
    "savefig.transparent": True,  # the page has a ground of its own, light or dark
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
"""Settings of matplotlib."""


def as_svg(figure: Figure) -> bytes:
    """Return a figure as SVG without a date: the same bytes for the same figure, if it was drawn in `STYLE`."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
