"""Findings from a collection's tables, without any image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mammofill.audit.findings import Case, Finding
from mammofill.audit.overview import listed_rows
from mammofill.ground.counting import counted
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion, Listed
from mammofill.mammograms.sources.patients import doubts
from mammofill.mammograms.split import strictest

Key = TypeVar("Key")

_IN_ONE_PATIENT = "Count patients, not mammograms or lesions, in splits and in intervals."


def table_findings(collection: Collection) -> list[Finding]:
    """Check all rows of a collection's tables.

    Args:
        collection: from its reader; the files of its entries are not opened.

    Returns:
        One finding for each fault that was looked for, without cases where it was not found.
    """
    rows = listed_rows(collection)
    findings = [
        _patients_in_doubt(collection),
        _rows_without_split(rows),
        _views_twice(rows),
        _rows_repeated(collection, rows),
        _rows_disagreeing(collection, rows),
        _without_pathology(collection, rows),
        _one_pathology(rows),
        _both_pathologies(rows),
        _several_lesions(rows),
        _cells_empty(rows),
    ]
    if len({row.official_split for row in rows} - {None}) > 1:  # the table of a single split cannot show it
        findings.insert(0, _patients_in_several_splits(rows))
    if any(row.mask_number or row.mask_apart for row in rows):
        findings.append(_masks_apart(rows))
    return findings


def _patients_in_several_splits(rows: Sequence[Listed]) -> Finding:
    by_patient = _grouped((row for row in rows if row.official_split), lambda row: row.patient_id)
    cases: list[Case] = []
    ways, kept = Counter[str](), Counter[str]()
    for patient, own in sorted(by_patient.items()):
        splits = {row.official_split for row in own if row.official_split}
        if len(splits) > 1:
            kept[strictest(splits)] += 1
            places = sorted({f"{row.abnormality or 'unknown'} {row.official_split}" for row in own}, reverse=True)
            ways[" and ".join(places)] += 1
            cases.append(Case(patient, patient, f"in {' and '.join(places)}", _mammograms(own)))
    summary = [f"{count} in {way}" for way, count in sorted(ways.items())]
    summary += [f"`official-patient-safe` uses {count} of them for {split} alone" for split, count in kept.items()]
    kinds = sorted({row.abnormality for row in rows if row.abnormality})
    if cases and len(kinds) > 1:
        alone = {
            kind: sum(len({row.official_split for row in own if row.abnormality == kind} - {None}) > 1
                      for own in by_patient.values())
            for kind in kinds
        }  # fmt: skip
        summary.append(", ".join(f"{kind} alone: {count}" for kind, count in alone.items()))
    return Finding(
        "patients-in-several-splits",
        "Patients in more than one split of the collection",
        "serious",
        "A classifier or an infiller trained on one split has seen these patients' breasts before it is tested on the "
        "other: the test result is too good, by an unknown amount.",
        "`--split official` refuses and names them. The default, `official-patient-safe`, uses all mammograms of such "
        "a patient only for the strictest of the splits (test before validation before train), so that every official "
        "test image stays unseen and the official test tables stay complete. `patients` and `kfold` draw new splits, "
        "by patient.",
        "Look for the patient in all tables of the collection together, not in one at a time.",
        tuple(cases),
        tuple(summary),
    )


def _patients_in_doubt(collection: Collection) -> Finding:
    return Finding(
        "patients-in-doubt",
        "Identifiers that may belong to one person",
        "serious",
        "If they are, the person can be in training and test at once, and the test result is too good.",
        "`ingest` refuses the collection and names both spellings.",
        "Ask the author of the table; then spell each person in one way.",
        tuple(Case(" and ".join(one.spellings), None, one.why) for one in doubts(collection)),
    )


def _rows_without_split(rows: Sequence[Listed]) -> Finding:
    some = any(row.official_split for row in rows)
    without = [row for row in rows if some and not row.official_split]
    return Finding(
        "rows-without-split",
        "Rows without a split, although others have one",
        "moderate",
        "It is unknown whether these may be used for training.",
        "The official splits are refused, naming the first; `--split patients` and `kfold` draw new ones.",
        "See the cells of the column that gives the split.",
        tuple(Case(row.row, row.patient_id, f"{row.mammogram_id} has no split") for row in without),
    )


def _views_twice(rows: Sequence[Listed]) -> Finding:
    """Find views that occur as several mammograms, each with only one kind of lesions marked."""
    views = _grouped(
        (row for row in rows if row.laterality and row.view and row.abnormality),
        lambda row: (row.patient_id, row.laterality, row.view),
    )
    cases: list[Case] = []
    split_views = 0
    for (patient, side, view), own in sorted(views.items()):
        kinds = _grouped(own, lambda row: row.mammogram_id)
        marked = [frozenset(row.abnormality for row in of_one) for of_one in kinds.values()]
        if len(kinds) < 2 or marked[0].intersection(*marked[1:]):
            continue
        across = len({row.official_split for row in own}) > 1
        split_views += across
        words = " and ".join(sorted(kinds)) + (", in different splits" if across else "")
        cases.append(Case(f"{patient} {side} {str(view).upper()}", patient, words, tuple(sorted(kinds))))
    return Finding(
        "views-twice",
        "Views that occur more than once, each time with other lesions marked",
        "serious",
        "One picture counts as two. A lesion that is marked on one copy is unmarked on the other, where its tissue "
        "counts as normal; and where the copies are in different splits, the same picture is used for training and "
        "test.",
        "Both stay with their patient in one split. Where only one kind of lesions is read, the lesions of the other "
        "copy are added if their masks fit (`twin-lesions-added`); where both are read, neither copy gives normal "
        "patches (`twin-views`).",
        "Compare the two mammograms' files: same patient, side and view, under two names.",
        tuple(cases),
        (f"{split_views} of them are in different splits",) if split_views else (),
    )


def _rows_repeated(collection: Collection, rows: Sequence[Listed]) -> Finding:
    cases: list[Case] = []
    for lesion, own in sorted(_by_lesion(rows).items()):
        first, *others = own
        if len({row.pathology for row in own}) == 1:
            cases.extend(
                Case(row.row, row.patient_id, f"repeats {first.row}: {lesion}", (row.mammogram_id,), lesion)
                for row in others
            )
    return Finding(
        "rows-repeated",
        "Rows that repeat another row",
        "moderate",
        "The lesion would count twice, in training and in the measures.",
        "The first row is kept (`row-repeated`).",
        "Sort the table by image and number of the lesion.",
        (*cases, *_left_out("row-repeated", collection, cases)),
    )


def _rows_disagreeing(collection: Collection, rows: Sequence[Listed]) -> Finding:
    cases = []
    for lesion, own in sorted(_by_lesion(rows).items()):
        pathologies = sorted({row.pathology or "unknown" for row in own})
        if len(pathologies) > 1:
            words = f"{' and '.join(pathologies)}, by {', '.join(row.row for row in own)}"
            cases.append(Case(lesion, own[0].patient_id, words, (own[0].mammogram_id,), lesion))
    for mammogram, own in sorted(_grouped(rows, lambda row: row.mammogram_id).items()):
        for word, values in (
            ("patient", {row.patient_id for row in own}),
            ("side", {row.laterality for row in own}),
            ("view", {row.view for row in own}),
            ("breast density", {row.density for row in own}),
            ("split", {row.official_split for row in own}),
        ):
            if len(values) > 1:
                named = sorted(value or "none" for value in values)
                cases.append(Case(mammogram, own[0].patient_id, f"{word} {' and '.join(named)}", (mammogram,)))
    return Finding(
        "rows-disagree",
        "Rows that contradict each other",
        "serious",
        "One of them is wrong: a wrong pathology is a wrong label, and a wrong patient or split is a leak.",
        "A lesion that is called both benign and malignant is left out (`rows-disagree`), and its mammogram gives no "
        "normal patches. Your own table is refused if the rows of one image disagree about it.",
        "Read the rows named side by side.",
        (*cases, *_left_out("rows-disagree", collection, cases)),
    )


def _without_pathology(collection: Collection, rows: Sequence[Listed]) -> Finding:
    listed = tuple(
        Case(row.lesion_id, row.patient_id, f"{row.row} calls it neither benign nor malignant", (row.mammogram_id,))
        for row in rows
        if row.lesion_id and row.pathology not in ("benign", "malignant")
    )
    left_out = tuple(
        Case(one.what, one.patient_id, one.found)
        for one in collection.exclusions
        if one.rule == "lesion-without-pathology"
    )
    return Finding(
        "lesion-without-pathology",
        "Lesions that are called neither benign nor malignant",
        "moderate",
        "The lesion has no label, and a program that treats everything not malignant as benign invents one.",
        "It is left out; its mammogram stays, but gives no normal patches.",
        "Read the row.",
        # The reader only considers rows whose files exist; the listed rows are complete.
        max(listed, left_out, key=len),
    )


def _one_pathology(rows: Sequence[Listed]) -> Finding:
    lesions = {row.lesion_id: row for row in rows if row.lesion_id}
    pathologies = {row.pathology for row in lesions.values()} - {None}
    cases: tuple[Case, ...] = ()
    if lesions and len(pathologies) < 2:
        only = next(iter(pathologies), "of unknown pathology")
        cases = (Case("all lesions", None, f"all {len(lesions)} lesions are {only}"),)
    return Finding(
        "one-pathology",
        "All lesions have the same pathology",
        "serious",
        "No classifier can learn to distinguish benign from malignant lesions here. Together with another collection's "
        "benign lesions, it would learn to distinguish the devices.",
        "Everything is read; an infiller can learn from it. Training and evaluation of a classifier refuse.",
        "See the table of lesions by pathology.",
        cases,
    )


def _both_pathologies(rows: Sequence[Listed]) -> Finding:
    cases = []
    for mammogram, own in sorted(_grouped(rows, lambda row: row.mammogram_id).items()):
        if {"benign", "malignant"} <= {row.pathology for row in own}:
            counts = Counter(row.pathology for row in own)
            words = f"{counts['benign']} benign, {counts['malignant']} malignant"
            cases.append(Case(mammogram, own[0].patient_id, words, (mammogram,)))
    return Finding(
        "both-pathologies",
        "Mammograms with benign and malignant lesions",
        "moderate",
        "A label for the whole mammogram hides one of them, and a window over both has no label.",
        "Every lesion keeps its own pathology; `extract-patches` drops windows with parts of both, and counts them "
        "(`both-pathologies`).",
        "Read all rows of the mammogram.",
        tuple(cases),
    )


def _several_lesions(rows: Sequence[Listed]) -> Finding:
    cases: list[Case] = []
    numbers = Counter[int]()
    with_lesion = _grouped((row for row in rows if row.lesion_id), lambda row: row.mammogram_id)
    for mammogram, own in sorted(with_lesion.items()):
        count = len({row.lesion_id for row in own})
        if count > 1:
            numbers[count] += 1
            cases.append(Case(mammogram, own[0].patient_id, f"{counted(count, 'lesions')}", (mammogram,)))
    return Finding(
        "several-lesions",
        "Mammograms with several lesions",
        "note",
        f"Their lesions are not independent, and neither are their patches. {_IN_ONE_PATIENT}",
        "Every lesion gets its own mask; the split and all intervals go by patient.",
        "Read all rows of the mammogram.",
        tuple(cases),
        tuple(f"{count} with {counted(number, 'lesions')}" for number, count in sorted(numbers.items())),
    )


def _cells_empty(rows: Sequence[Listed]) -> Finding:
    columns = Counter(column for row in rows for column in row.missing)
    return Finding(
        "cells-empty",
        "Rows with empty cells",
        "note",
        "Analyses by these columns cover the other rows only, which may differ from these.",
        "The attribute is left out of the lesion's row; nothing is filled in.",
        "See the cells of the columns named.",
        tuple(
            Case(row.row, row.patient_id, f"empty: {', '.join(row.missing)}", (row.mammogram_id,))
            for row in rows
            if row.missing
        ),
        tuple(f"{column}: {count}" for column, count in columns.most_common()),
    )


def _masks_apart(rows: Sequence[Listed]) -> Finding:
    return Finding(
        "masks-apart",
        "Lesions whose mask and cropped picture are in two series",
        "note",
        "A program that looks for both in one folder finds one of them, and may take the cropped picture for the mask.",
        "All files of a lesion are found in whichever folder they are, and are distinguished by content.",
        "Compare the series in the two paths of the row.",
        tuple(
            Case(row.lesion_id, row.patient_id, f"{row.row} names two series", (row.mammogram_id,), row.lesion_id)
            for row in rows
            if row.lesion_id and row.mask_apart
        ),
    )


def _left_out(rule: str, collection: Collection, known: Iterable[Case]) -> Iterator[Case]:
    """Yield what a reader excluded or noted and the listed rows, which have only some of the columns, do not show."""
    names = {name for case in known for name in (case.what, *case.mammogram_ids)}
    noted: list[Exclusion | Decision] = [*collection.exclusions, *collection.decisions]
    for one in noted:
        if one.rule == rule and one.what not in names:
            yield Case(one.what, one.patient_id, one.found)


def _grouped(rows: Iterable[Listed], key: Callable[[Listed], Key]) -> dict[Key, list[Listed]]:
    groups: dict[Key, list[Listed]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _by_lesion(rows: Iterable[Listed]) -> dict[str, list[Listed]]:
    """Return the rows of the lesions that have several."""
    groups: dict[str, list[Listed]] = {}
    for row in rows:
        if row.lesion_id:
            groups.setdefault(row.lesion_id, []).append(row)
    return {lesion: own for lesion, own in groups.items() if len(own) > 1}


def _mammograms(rows: Iterable[Listed]) -> tuple[str, ...]:
    return tuple(sorted({row.mammogram_id for row in rows}))
