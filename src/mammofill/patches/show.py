"""Pictures for people at a prompt or in a notebook: patches with their outlines, and fills beside what was there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 6
_INCHES = 1.7
_COLOURS = {"benign": "#4aa3df", "malignant": "#e8743b"}


def draw_patches(images: NDArray[np.uint16], masks: NDArray[np.bool_], titles: Sequence[str]) -> Figure:
    """Draw patches in a grid, lesions outlined.

    Args:
        images: (n, H, W) uint16.
        masks: (n, H, W) bool.
        titles: n words; those that name a class give the outline its colour.
    """
    figure, places = _grid(len(images), min(_COLUMNS, len(images)))
    for axes, image, mask, title in zip(places, images, masks, titles, strict=True):
        _draw(axes, image, mask, title)
    return figure


def draw_rows(rows: Sequence[Sequence[NDArray[Any]]], outlines: Sequence[NDArray[np.bool_]], titles: Sequence[str],
              heads: Sequence[str]) -> Figure:  # fmt: skip
    """Draw a row of pictures for each case, for example before and after.

    Args:
        rows: of each case its pictures, each (H, W).
        outlines: of each case, (H, W) bool, drawn into all of its pictures but the last.
        titles: of each case.
        heads: of each column.
    """
    figure, places = _grid(len(rows) * len(heads), len(heads))
    for number, (pictures, outline, title) in enumerate(zip(rows, outlines, titles, strict=True)):
        for column, picture in enumerate(pictures):
            axes = places[number * len(heads) + column]
            last = column == len(heads) - 1
            _draw(axes, picture, np.zeros_like(outline) if last else outline, heads[column] if number == 0 else "")
        places[number * len(heads)].set_ylabel(title, fontsize=8)
    return figure


def _grid(count: int, columns: int) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure  # takes a second, so only where something is drawn

    rows = -(-count // columns)
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + 0.2) * rows), layout="constrained")
    places = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for axes in places:
        axes.set(xticks=[], yticks=[])
    return figure, places


def _draw(axes: Any, image: NDArray[Any], mask: NDArray[np.bool_], title: str) -> None:
    axes.imshow(image, cmap="gray")
    if mask.any():
        colour = next((colour for name, colour in _COLOURS.items() if name in title), "#f2c14e")
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
    axes.set_title(title, fontsize=8)
