"""Findings from the images: pictures that occur twice, values that were lost, breasts on the other side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from mammofill.audit.alike import closest_pairs
from mammofill.audit.examine import Facts, Pixels
from mammofill.audit.findings import Case, Finding
from mammofill.audit.likeness import (
    LEAST_CORRELATION,
    MOST_PAIRS,
    SmallCopy,
    correlate_detail,
)
from mammofill.ground.counting import counted
from mammofill.mammograms.mixed_values import Mixture, Values, find_mixtures
from mammofill.mammograms.sources.annotations import Listed, MammogramEntry

LARGEST_SHARE_BRIGHTEST = 0.01
"""Share of the breast at the picture's brightest value above which a picture counts as saturated. In none of 242 films
of mini-MIAS it is more than 0.0004; 1 % of a breast is as large as a mass."""

LEAST_LEAN = 0.05
"""Below this `lean` (absolute) the side of a breast counts as unclear. Of 491 mammograms of mini-MIAS and CDD-CESM all
are on the correct side, the least clear with 0.07."""

_USUAL_SIDE = {"left": "left", "right": "right"}
"""Films are usually hung back to back, so that the chest wall of a left breast is on the left of its picture."""


@dataclass(frozen=True)
class Looked:
    """A mammogram whose pixels were examined."""

    entry: MammogramEntry
    facts: Facts
    pixels: Pixels


def image_findings(
    looked: Sequence[Looked],
    rows: Sequence[Listed],
    copy_of: Callable[[str], SmallCopy],
    spellings: Mapping[str | None, str] = MappingProxyType({}),
) -> list[Finding]:
    """Compare the facts of all mammograms.

    Args:
        looked: the mammograms that could be read.
        rows: of the collection's tables.
        copy_of: returns a mammogram's small copy, for the few that may be alike.
        spellings: patient -> message on spellings, for patients who are spelled in several ways.

    Returns:
        One finding for each fault that was looked for, without cases where it was not found.
    """
    identical = _identical(looked)
    alike, left_out = _alike(looked, copy_of)
    findings = [
        _alike_across_patients([*identical, *alike], left_out),
        _alike_within_patients([*identical, *alike], spellings, left_out),
        _on_other_side(looked),
        _saturated(looked),
        _few_levels(looked),
        *_mixtures(looked),
    ]
    if any(row.mask_number for row in rows):
        findings.append(_masks_swapped(looked, rows))
    return findings


# ---- pictures that occur twice --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    first: Looked
    second: Looked
    evidence: str
    mirrored: bool = False


def _identical(looked: Sequence[Looked]) -> list[_Pair]:
    by_content: dict[str, list[Looked]] = {}
    for one in looked:
        by_content.setdefault(one.pixels.sha256, []).append(one)
    return [_Pair(same[0], other, "the same pixels") for same in by_content.values() for other in same[1:]]


def _alike(looked: Sequence[Looked], copy_of: Callable[[str], SmallCopy]) -> tuple[list[_Pair], list[str]]:
    """Return pairs whose pictures are alike but not identical, and sentences on what was not compared."""
    if not looked:
        return [], []
    hashes, mirrored = (
        np.array([np.frombuffer(bytes.fromhex(text), np.uint64) for text in texts])
        for texts in ([one.pixels.hash for one in looked], [one.pixels.mirrored_hash for one in looked])
    )
    may_be = closest_pairs(hashes, mirrored)
    found = []
    for pair in may_be.pairs:
        first, second = looked[pair.first], looked[pair.second]
        if first.pixels.sha256 == second.pixels.sha256:
            continue
        one, other = (copy_of(either.entry.mammogram_id) for either in (first, second))
        correlation = correlate_detail(one, other[:, ::-1] if pair.mirrored else other)
        if correlation >= LEAST_CORRELATION:
            how = "mirror images, " if pair.mirrored else ""
            evidence = f"{how}detail correlates by {correlation:.2f}, {pair.bits} of 255 bits differ"
            found.append(_Pair(first, second, evidence, pair.mirrored))
    left_out = [] if may_be.complete else [f"only the {MOST_PAIRS:,} closest pairs were compared in detail"]
    return found, [*left_out, *may_be.words()]


def _alike_across_patients(pairs: Sequence[_Pair], left_out: Sequence[str]) -> Finding:
    cases = [_case(pair) for pair in pairs if pair.first.entry.patient_id != pair.second.entry.patient_id]
    across = sum("different splits" in case.words for case in cases)
    summary = [*([f"{across} of the pairs are in different splits"] if across else []), *left_out]
    return Finding(
        "pictures-alike",
        "The same picture under two patients",
        "serious",
        "One person counts as two. A split by patient does not keep them together, so a test picture may also be a "
        "training picture.",
        "Nothing: `ingest` follows the tables. Give both the same patient in a table of your own, or leave one out.",
        "Look at the pairs below. They agree in their smallest details, not only in their outline; a copy that was "
        "cropped or rotated is not found.",
        tuple(cases),
        tuple(summary),
    )


def _alike_within_patients(
    pairs: Sequence[_Pair], spellings: Mapping[str | None, str], left_out: Sequence[str]
) -> Finding:
    cases = [_case(pair) for pair in pairs if pair.first.entry.patient_id == pair.second.entry.patient_id]
    written = [
        replace(case, words=f"{case.words}. {spellings[case.patient_id]}") if case.patient_id in spellings else case
        for case in cases
    ]
    return Finding(
        "pictures-twice",
        "The same picture twice under one patient",
        "moderate",
        "It counts twice. If each copy has its own lesions marked, those of the other count as normal tissue.",
        "Both are kept, in one split; files that are the same byte by byte, with other lesions marked in each, give no "
        "normal patches. See the finding on views that occur more than once.",
        "Look at the pairs below.",
        tuple(written),
        tuple(left_out),
    )


def _case(pair: _Pair) -> Case:
    first, second = pair.first.entry, pair.second.entry
    splits = {first.official_split, second.official_split}
    words = pair.evidence + (", in different splits" if len(splits) > 1 else "")
    patient = first.patient_id if first.patient_id == second.patient_id else None
    both = (first.mammogram_id, second.mammogram_id)
    return Case(" and ".join(both), patient, words, both, mirrored=pair.mirrored)


# ---- one picture at a time ------------------------------------------------------------------------------------------


def _on_other_side(looked: Sequence[Looked]) -> Finding:
    """Find breasts on the other side of their picture than most of this collection with the same laterality."""
    seen = [
        (one, one.entry.laterality, "left" if one.pixels.lean < 0 else "right")
        for one in looked
        if one.entry.laterality and abs(one.pixels.lean) >= LEAST_LEAN
    ]
    as_usual = sum(_USUAL_SIDE[laterality] == side for _, laterality, side in seen)
    mirrored = as_usual < len(seen) / 2
    cases = tuple(
        Case(
            one.entry.mammogram_id,
            one.entry.patient_id,
            f"{laterality} by the table; the breast lies on the {side} of the picture",
            (one.entry.mammogram_id,),
        )
        for one, laterality, side in seen
        if (_USUAL_SIDE[laterality] == side) == mirrored
    )
    how = "right, mirrored against the usual way of hanging films" if mirrored else "left, as films are usually hung"
    unsure = sum(bool(one.entry.laterality) for one in looked) - len(seen)
    summary = [f"in this collection left breasts lie on the {how}"] if seen else []
    if unsure:
        summary.append(f"{unsure} are as straight on one side as on the other")
    return Finding(
        "laterality-and-side",
        "Breasts that do not lie on the side where this collection's breasts of their laterality lie",
        "note",
        "Either the picture is mirrored, or the table names the wrong breast, and its lesions may be in the other one.",
        "Nothing; the side in the table is used.",
        "Look at the label on the film: mirrored letters show a mirrored picture.",
        cases,
        tuple(summary),
    )


def _saturated(looked: Sequence[Looked]) -> Finding:
    return Finding(
        "saturated",
        "Pictures in which part of the breast is plain white",
        "moderate",
        "Differences there were lost when the file was made; a lesion in that part has no texture.",
        "Nothing; the values are kept as they are.",
        "Look at the histogram of the file. An export with a display window does this; the original may have more.",
        tuple(
            _about(one, f"{one.pixels.share_brightest:.1%} of the breast has the brightest value")
            for one in sorted(looked, key=lambda one: -one.pixels.share_brightest)
            if one.pixels.share_brightest > LARGEST_SHARE_BRIGHTEST
        ),
        (f"counted where it is more than {LARGEST_SHARE_BRIGHTEST:.0%} of the breast",),
    )


def _few_levels(looked: Sequence[Looked]) -> Finding:
    bits = Counter(one.pixels.bits for one in looked)
    return Finding(
        "few-levels",
        "Files of more than 8 bits with no more different values than 8 bits have",
        "moderate",
        "They were once stored in an 8-bit format: the fine gray levels are lost, and such files can be distinguished "
        "from other files by that alone.",
        "Nothing; the values are kept as they are.",
        "Count the different values of the file.",
        tuple(
            _about(one, f"{one.pixels.levels} values in {one.pixels.bits} bits")
            for one in looked
            if one.pixels.bits > 8 and one.pixels.levels <= 256
        ),
        tuple(f"{counted(count, 'files')} of {number} bits" for number, count in sorted(bits.items())),
    )


_MIXED = {
    "intents-mixed": "Images for presentation mixed with images for processing",
    "signs-mixed": "Signed values mixed with unsigned ones",
    "bits-mixed": "Images of different numbers of bits",
    "ranges-mixed": "Files that use far fewer of their bits than others do",
}


def _mixtures(looked: Sequence[Looked]) -> list[Finding]:
    values = [
        Values(
            one.entry.mammogram_id,
            one.pixels.bits,
            one.pixels.used_bits,
            one.pixels.signed,
            one.pixels.intent,
            filled_bits=one.pixels.filled_bits,
        )
        for one in looked
    ]
    entry_of = {one.entry.mammogram_id: one.entry for one in looked}
    there = {mixture.rule: mixture for mixture in find_mixtures(values)}
    findings = []
    for rule, title in _MIXED.items():
        mixture = there.get(rule)
        names = mixture.fewer if mixture else ()
        findings.append(
            Finding(
                rule,
                title,
                "moderate",
                "Gray levels do not mean the same in all images. If one kind has more malignant lesions than the "
                "other, a classifier learns to distinguish the kinds.",
                f"Kept as they are, with a decision (`{rule}`).",
                "Compare the headers and histograms of the files named with others; compare the pathologies of both.",
                tuple(Case(name, entry_of[name].patient_id, "is of the fewer", (name,)) for name in names),
                (mixture.found,) if mixture else (),
            )
        )
    return [*findings, _unused_range(there.get("range-unused"), entry_of)]


def _unused_range(unused: Mixture | None, entry_of: Mapping[str, MammogramEntry]) -> Finding:
    return Finding(
        "range-unused",
        "Images that use a small part of the range of their bits",
        "moderate",
        "They are dark: a network sees all of them within a few gray levels of black.",
        "Kept as they are, with a decision (`range-unused`).",
        "Compare the greatest values with the number of bits that the files state. A table says in a column `bits` how "
        "many the values have; of DICOM files only their header can (BitsStored).",
        tuple(Case(name, entry_of[name].patient_id, "is dark", (name,)) for name in (unused.fewer if unused else ())),
        (unused.found,) if unused else (),
    )


def _masks_swapped(looked: Sequence[Looked], rows: Sequence[Listed]) -> Finding:
    """Compare the file of the mask, recognised by its content, with the file that the tables name.

    Paths in the tables number the files; downloads have other names but the same order. Where several lesions share a
    folder, the order has no meaning.
    """
    listed = {row.lesion_id: row.mask_number for row in rows if row.lesion_id and row.mask_number}
    entry_of = {lesion.lesion_id: one.entry for one in looked for lesion in one.entry.lesions}
    files = [file for one in looked for file in one.facts.mask_files if file.files == 2]
    lesions_in = Counter(folder for file in files for folder in file.folders)
    cases = []
    for file in files:
        if file.lesion_id not in listed or any(lesions_in[folder] > 1 for folder in file.folders):
            continue
        if len(file.folders) > 1:
            words = "its files lie in two folders; the tables name one"
        elif file.number != listed[file.lesion_id]:
            words = f"the mask is file {file.number} of its folder; the table says file {listed[file.lesion_id]}"
        else:
            continue
        entry = entry_of[file.lesion_id]
        cases.append(Case(file.lesion_id, entry.patient_id, words, (entry.mammogram_id,), file.lesion_id))
    return Finding(
        "masks-swapped",
        "Lesions whose mask is not the file that the tables name",
        "note",
        "A program that finds masks by file name reads the cropped picture as a mask here, or finds no file.",
        "The mask is recognised by its content: two values, and the size of the mammogram.",
        "Open both files of the lesion.",
        tuple(cases),
    )


def _about(one: Looked, words: str) -> Case:
    return Case(one.entry.mammogram_id, one.entry.patient_id, words, (one.entry.mammogram_id,))
