"""Where the classifiers of each arm look, put into plain values, figures and pictures for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from mammofill.comparison import attention_of_arms
from mammofill.evaluation import EvaluateSettings, Evaluation
from mammofill.ground.errors import DamagedError
from mammofill.report.figures import draw_attention
from mammofill.report.sheet import Figure, Sheet, rows_in_words
from mammofill.report.tables import Estimate, interval, number

ANSWERS = {
    "peak_inside": ("peak at the lesion", "the map's peak lies at the lesion (pointing game)"),
    "energy_inside": ("inside the outline", "share of the map inside the lesion's outline"),
    "energy_ring": ("along the outline", "share of the map along the outline, where a fill would have its seam"),
}
"""Measure -> heading and words."""


@dataclass(frozen=True)
class Attention:
    """Where the arms look, as shown."""

    table: pd.DataFrame
    """Columns of `comparison.attention.ARM_ATTENTION_COLUMNS`."""
    figure: Figure
    reading: tuple[str, ...]
    sheet: Sheet
    maps: tuple[tuple[str, int, bytes], ...]
    """Arm, number of patches and JPEG: the same patches for each."""


def read_attention(arms: Mapping[str, Sequence[Evaluation]], reference: str, seed: int) -> Attention | None:
    """Put into plain values where the arms look; None if this was measured of no arm.

    Args:
        arms: name -> replicates on one test set.
        reference: the arm from which a shift is measured; the first one with attention maps where it has none.
        seed: decides the resamples.
    """
    seen = {arm: [one for one in several if one.has_attention] for arm, several in arms.items()}
    seen = {arm: several for arm, several in seen.items() if several}
    if not seen:
        return None
    if reference not in seen:
        reference = next(iter(seen))
    first = seen[reference][0]
    how = EvaluateSettings(
        resamples=int(first.manifest.settings["resamples"]), confidence=float(first.facts["confidence"])
    )
    table = attention_of_arms(seen, reference, how, seed)
    networks = {arm: several[0].label.split(",")[0] for arm, several in seen.items()}
    alike = [arm for arm in seen if arm != reference and networks[arm] == networks[reference]]
    # Bonferroni's correction: an interval for each arm that is compared, and each answer.
    tested = [arm for arm in alike if table.loc[table["arm"] == arm, "shift_is_tested"].all()]
    comparisons = max(1, len(tested) * len(ANSWERS))
    strict = replace(how, confidence=1 - (1 - how.confidence) / comparisons)
    corrected = attention_of_arms(seen, reference, strict, seed)
    return Attention(
        table=table,
        figure=_figure(table),
        reading=tuple(_reading(table, corrected, reference, alike, tested)),
        sheet=Sheet(
            "Where the arms look, all numbers",
            ("arm", "what", "share", "by area", "by habit", "above habit", f"minus {reference}"),
            tuple(_rows(table)),
            words=("what",),
        ),
        maps=tuple(
            (arm, len(several[0].heat_maps["random"][1]), _as_jpeg(several[0].heat_maps["random"][0]))
            for arm, several in seen.items()
            if "random" in several[0].heat_maps
        ),
    )


def _figure(table: pd.DataFrame) -> Figure:
    note = "Dots: share of each arm's maps, with its interval. Ticks: what chance gives."
    rows = [
        (f"{row['arm']}, {ANSWERS[row['measure']][0]}", f"{number(row['value'])}, by habit {number(row['habit'])}")
        for row in table.to_dict("records")
    ]
    drawn = draw_attention(table, {name: heading for name, (heading, _) in ANSWERS.items()})
    return Figure("Where the arms look", note, f"Where the arms look. {rows_in_words(rows)}", drawn)


def _reading(
    table: pd.DataFrame, corrected: pd.DataFrame, reference: str, alike: Sequence[str], tested: Sequence[str]
) -> list[str]:
    """Say which arms look elsewhere than the reference, as far as corrected intervals show it.

    Maps of another network have another resolution, so that only arms of the reference's network are `alike`. Maps also
    differ between two seeds of one arm: only arms of several trainings are `tested`.
    """
    sentences = []
    for name, (_, words) in ANSWERS.items():
        part = table[(table["measure"] == name) & table["arm"].isin(tested)]
        shown = corrected.loc[part.index].to_dict("records")
        moved = [
            f"{row['arm']} {number(row['shift'], True)} {interval(_shift(row), True)}"
            for row, strict in zip(part.to_dict("records"), shown, strict=True)
            if _shift(strict).excludes(0)
        ]
        if moved:
            sentences.append(f"Shown to differ from {reference} in this: {words}: {'; '.join(moved)}.")
    if tested and not sentences:
        sentences = [f"No arm was shown to look elsewhere than {reference}, neither at the lesion nor at its outline."]
    if tested:
        sentences.append(
            f"Shown means: over patients and training, after Bonferroni's correction for {len(tested) * len(ANSWERS)} "
            "comparisons."
        )
    if untested := [arm for arm in alike if arm not in tested]:
        sentences.append(
            f"Not tested: whether {'; '.join(untested)} looks elsewhere than {reference}. An arm was trained once, and "
            "maps also differ between two seeds of one arm."
        )
    others = [arm for arm in dict.fromkeys(table["arm"]) if arm not in (reference, *alike)]
    if others:
        sentences.append(
            f"Not compared with {reference}, since maps of another network have another resolution: "
            f"{'; '.join(others)}."
        )
    return sentences


def _rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in table.to_dict("records"):
        value = Estimate(row["value"], row["low"], row["high"])
        gain = Estimate(row["gain"], row["gain_low"], row["gain_high"])
        shift = _shift(row)
        rows.append(
            (
                str(row["arm"]),
                ANSWERS[row["measure"]][0],
                f"{number(value.value)} {interval(value)}",
                number(row["area"]),
                number(row["habit"]),
                f"{number(gain.value, True)} {interval(gain, True)}",
                f"{number(shift.value, True)} {interval(shift, True)}" if shift.value == shift.value else "",
            )
        )
    return rows


def _as_jpeg(path: Path) -> bytes:
    """Return a sheet of heat maps as JPEG: a tenth of its PNG, and there is one for every arm."""
    sheet = cv2.imread(str(path))
    if sheet is None:
        raise DamagedError(f"{path} cannot be read as a picture. Evaluate the classifier again.")
    return cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def _shift(row: Mapping[Any, Any]) -> Estimate:
    return Estimate(row["shift"], row["shift_low"], row["shift_high"])
