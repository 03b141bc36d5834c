"""Random collections with the faults of CBIS-DDSM: each lesion comes to its true place, or is said to be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from collections_on_disk import FILM_COLUMNS, FILM_ROWS, LAYOUTS, Case, Layout, cut, ellipse, film, write_cbis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mammofill.ground.imaging import mask_box, resample_mask
from mammofill.mammograms import IngestSettings, MammogramSet, ingest

EXAMPLES = 80
"""A quarter of a second each. The same ones every time, so that a failure can be found again."""

KEPT = "kept"

MASK_FAULTS: dict[str, Callable[[np.ndarray, tuple[int, int, int, int], int], np.ndarray]] = {
    "none": lambda mask, box, margin: mask,
    "enlarged": lambda mask, box, margin: resample_mask(mask, (int(FILM_ROWS * 1.1494), int(FILM_COLUMNS * 1.1494))),
    "reduced": lambda mask, box, margin: resample_mask(mask, (round(FILM_ROWS * 0.7), round(FILM_COLUMNS * 0.7))),
    "stretched": lambda mask, box, margin: resample_mask(mask, (round(FILM_ROWS * 1.3), round(FILM_COLUMNS * 1.1))),
    "padded": lambda mask, box, margin: np.pad(mask, ((33, 0), (0, 4))),
    "cut": lambda mask, box, margin: cut(mask, box, margin),
    "empty": lambda mask, box, margin: np.zeros_like(mask),
}


@dataclass(frozen=True)
class Marked:
    """A case, the place of its lesion, and what must become of it."""

    case: Case
    box: tuple[int, int, int, int]
    outcomes: frozenset[str]
    outside: bool = False
    """Whether it lies where no breast is: to be left out, or kept and noted where some of it may lie on breast."""


@st.composite
def lesions(draw: st.DrawFn, mammogram: Case, picture: np.ndarray, slot: int, layout: Layout) -> Marked:
    height, width = draw(st.sampled_from([(30, 48), (34, 30), (44, 26)]))
    box = (50 + 70 * slot + draw(st.integers(0, 9)), 12 + draw(st.integers(0, 12)), height, width)
    margin = draw(st.sampled_from([0, 5, 9]))
    fault = draw(st.sampled_from([*MASK_FAULTS] * 2 + ["truncated"]))
    without = draw(st.sampled_from([""] * 6 + ["mask", "mask alone", "crop"]))
    pathology = draw(st.sampled_from(["MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"] * 3 + ["UNPROVEN"]))
    outside = fault == "none" and draw(st.booleans())
    if outside:
        margin, box = 0, (box[0], 150, 30, 24)
    whole = ellipse(box)
    case = replace(
        mammogram,
        number=slot + 1,
        pathology=pathology,
        swapped=draw(st.booleans()),
        separate=draw(st.booleans()),
        described=draw(st.booleans()),
        mask=MASK_FAULTS.get(fault, MASK_FAULTS["none"])(whole, box, margin),
        crop=cut(picture, box, margin),
        without=without,
        truncated_mask=fault == "truncated",
    )
    if pathology == "UNPROVEN":
        return Marked(case, box, frozenset(["lesion-without-pathology"]))
    allowed = frozenset(outcomes(fault, without, layout, margin == 0 or abs(height - width) >= 16))
    allowed |= {"mask-outside-breast"} if outside else set()
    return Marked(case, box, allowed, outside)


def outcomes(fault: str, without: str, layout: Layout, tells_the_margin: bool) -> Iterator[str]:
    """Say what may become of a lesion; of a JPEG's cut-out it is not certain whether it is found."""
    if without == "mask":
        yield "file-missing"
    elif without == "mask alone":
        yield "mask-missing"
    elif fault in ("truncated", "empty"):
        yield {"truncated": "mask-unreadable", "empty": "mask-empty"}[fault]
    elif fault in ("none", "enlarged", "reduced"):
        yield KEPT
    elif fault == "stretched":  # at two scales: no margin explains the cropped picture
        yield "mask-size"
    else:
        provable = without != "crop" and (fault == "cut" or tells_the_margin)
        if provable:
            yield KEPT
        if not provable or layout == "jpeg":
            yield "mask-size"


@st.composite
def collections(draw: st.DrawFn) -> tuple[Layout, list[Marked]]:
    layout = draw(st.sampled_from(LAYOUTS))
    found = [Marked(Case("P_09999", split="test", picture=film(99), mask=ellipse((80, 20, 40, 30)),
                         crop=cut(film(99), (80, 20, 40, 30))), (80, 20, 40, 30), frozenset([KEPT]))]  # fmt: skip
    for number in range(draw(st.integers(1, 2))):
        for view in draw(st.sampled_from([("CC",), ("CC", "MLO")])):
            picture = film(2 * number + (view == "MLO"))
            fault = draw(st.sampled_from(["none"] * 5 + ["no image", "truncated"]))
            split = ["train", "test"][number % 2]
            mammogram = Case(f"P_{number + 1:05d}", view=view, split=split, picture=picture)
            marked = [draw(lesions(mammogram, picture, slot, layout)) for slot in range(draw(st.integers(1, 3)))]
            if fault == "no image":
                marked = [replace(one, outcomes=frozenset(["file-missing"])) for one in marked]
                marked = [replace(one, case=replace(one.case, without="image", truncated_mask=False)) for one in marked]
            if fault == "truncated":
                marked = [
                    replace(one, case=replace(one.case, truncated=True), outcomes=frozenset(["unreadable"]))
                    for one in marked
                ]
            found.extend(marked)
            if draw(st.booleans()):
                found.append(marked[0])  # its row once more
            if fault == "none" and view == "CC" and draw(st.booleans()):
                found.append(draw(twins(mammogram, picture, layout)))
    return layout, found


@st.composite
def twins(draw: st.DrawFn, mammogram: Case, picture: np.ndarray, layout: Layout) -> Marked:
    """Draw a calcification of the other part on the same view, or on another film of that name."""
    box = (120, 90, 40, 20)
    same = draw(st.booleans())
    shown = picture if same else film(77)
    case = replace(
        mammogram, kind="calc", split=draw(st.sampled_from(["train", "test"])),
        picture=shown, mask=ellipse(box), crop=cut(shown, box, 4),
        swapped=draw(st.booleans()), separate=draw(st.booleans()),
    )  # fmt: skip
    allowed = {KEPT} if same else {"mask-not-of-this-film"}
    return Marked(case, box, frozenset(allowed | ({"mask-not-of-this-film"} if layout == "jpeg" else set())))


def what_became_of(marked: Marked, found: MammogramSet, both_kinds: bool) -> str:
    """Return kept, or the rule by which the lesion, its row or its mammogram was left out; check the place.

    Read without its own table (`both_kinds` false), a calcification is a lesion of the mass mammogram of its view.
    """
    case = marked.case
    twin = case.kind == "calc" and not both_kinds
    mass_split = found.mammograms.set_index("patient_id")["official_split"].to_dict().get(case.patient, case.split)
    mammogram_id = replace(case, kind="mass", split=mass_split).name if twin else case.name
    lesion_id = f"{mammogram_id}_calc_{case.number}" if twin else case.lesion
    if lesion_id in set(found.lesions["lesion_id"]):
        check_place(lesion_id, marked.box, found)
        return KEPT
    for what, rule, story in found.exclusions[["what", "rule", "found"]].itertuples(index=False):
        if what in (lesion_id, mammogram_id) or (rule == "file-missing" and f" {mammogram_id}, but" in story):
            return str(rule)
    return "lost"


def check_place(lesion_id: str, box: tuple[int, int, int, int], found: MammogramSet) -> None:
    mask = found.mask(lesion_id)
    scale = mask.shape[0] / FILM_ROWS
    top, left, height, width = mask_box(mask)
    true_top, true_left, true_height, true_width = (side * scale for side in box)
    edges = np.subtract(
        (top, left, top + height, left + width),
        (true_top, true_left, true_top + true_height, true_left + true_width),
    )
    assert np.abs(edges).max() <= 1.5, (lesion_id, edges)  # one pixel, and half for a box between pixels
    centre = [index.mean() + 0.5 for index in np.nonzero(mask)]
    assert np.abs(np.subtract(centre, (true_top + true_height / 2, true_left + true_width / 2))).max() <= 1, lesion_id


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(collection=collections(), height_px=st.sampled_from([None, 200]), both_kinds=st.booleans())
def test_no_lesion_is_lost_or_misplaced_and_no_patient_is_on_two_sides(
    tmp_path_factory: pytest.TempPathFactory,
    collection: tuple[Layout, list[Marked]],
    height_px: int | None,
    both_kinds: bool,
) -> None:
    layout, marked = collection
    folder = tmp_path_factory.mktemp("cbis")
    source = write_cbis(folder / "source", [one.case for one in marked], layout, kinds=("mass", "calc"))
    kinds = "all" if both_kinds else "mass"
    found = ingest(source, folder / "out", IngestSettings(height_px=height_px, abnormality=kinds))
    noted = set(found.decisions.loc[found.decisions["rule"] == "mask-outside-breast", "what"])
    for one in marked:
        became = what_became_of(one, found, both_kinds)
        outcomes = {KEPT} if both_kinds and one.case.kind == "calc" else one.outcomes
        assert became in outcomes, (layout, one.case.lesion, became, sorted(outcomes))
        assert became != KEPT or not one.outside or one.case.lesion in noted, (layout, one.case.lesion)
    splits = found.mammograms.groupby("patient_id")[["split", "official_split"]].agg(set)
    assert all(len(split) == 1 for split in splits["split"])
    assert all("test" in split for split, official in splits.to_numpy() if "test" in official)
    repeated = len(marked) - len({one.case.lesion for one in marked})
    missing = {one.case.lesion for one in marked if one.case.without == "image"}
    rows = [rule for rule in found.exclusions["rule"] if rule == "row-repeated"]
    assert len(rows) == repeated - sum(one.case.lesion in missing for one in marked) + len(missing)
