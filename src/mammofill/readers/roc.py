"""The ROC curve of each reader, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.drawing import COLOURS, DASHES, STYLE, as_svg

QUESTIONS = {
    "synthetic or real": "is it synthetic?",
    "malignant or benign, real lesions": "is it malignant? (real lesions)",
    "malignant or benign, synthetic lesions": "is it malignant? (synthetic lesions)",
}
"""Each question and its lesions, with the title of its panel."""


def reader_curves(ratings: pd.DataFrame) -> pd.DataFrame:
    """Compute the ROC curves of readers.

    Args:
        ratings: as `ReaderStudy.ratings` gives them, of readers who rated every case.

    Returns:
        question (one of `QUESTIONS`), reader, x and y, both in [0, 1]: 1 - specificity and sensitivity as the threshold
        of the rating falls, from (0, 0) to (1, 1).
    """
    from mammofill.evaluation import roc_curve

    found = []
    for question, truth, rating, some in _questions(ratings):
        for reader in some["reader"].unique():
            own = (some["reader"] == reader).to_numpy()
            x, y = roc_curve(truth[own], rating[own])
            found.append(pd.DataFrame({"question": question, "reader": int(reader), "x": x, "y": y}))
    return pd.concat(found, ignore_index=True)


def draw_reader_curves(curves: pd.DataFrame) -> bytes:
    """Draw a panel for each question, with a line for each reader.

    Args:
        curves: from `reader_curves`.

    Returns:
        SVG, the same for the same curves.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    readers = sorted(curves["reader"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.9 + 0.2 * -(-len(readers) // 6)), layout="constrained")
        for axes, (question, title) in zip(figure.subplots(1, len(QUESTIONS)), QUESTIONS.items(), strict=True):
            chance = axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle=":")
            own = curves[curves["question"] == question]
            lines = []
            for number, reader in enumerate(readers):
                points = own[own["reader"] == reader]
                dashes = DASHES[number // len(COLOURS) % len(DASHES)]
                lines += axes.plot(points["x"], points["y"], dashes, color=COLOURS[number % len(COLOURS)], alpha=0.9)
            axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
            axes.set_title(title, fontsize=9, loc="left")
            axes.set_aspect("equal")
        names = [f"reader {reader}" for reader in readers]
        figure.legend([*lines, *chance], [*names, "chance"], loc="outside lower center", ncols=6, fontsize=8)
        return as_svg(figure)


def _questions(
    ratings: pd.DataFrame,
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.float64], pd.DataFrame]]:
    """Yield each question with the truth, the ratings and the rows of its lesions."""
    apart, real, synthetic = QUESTIONS
    for question, origin, column, fact, positive in (
        (apart, None, "synthetic", "origin", "synthetic"),
        (real, "real", "malignant", "pathology", "malignant"),
        (synthetic, "synthetic", "malignant", "pathology", "malignant"),
    ):
        some = ratings if origin is None else ratings[ratings["origin"] == origin]
        truth = (some[fact] == positive).to_numpy(dtype=np.bool_)
        yield question, truth, some[column].to_numpy(dtype=np.float64), some
