"""Who is one person? One rule for the identifiers of patients, whatever table or header they come from.

A split by patient keeps a person on one side only if the person has one name. Tables spell it in several ways: ``P1``,
``p1 ``, ``P-1``, ``001`` and ``1``, ``4.0`` where a spreadsheet made a number of it, ``P_00001`` beside ``1``. So
identifiers are text, never numbers, and two of them are one person if they have the same `patient_key`. What may be
one person and may be two (`doubts`) is refused by `ingest`, with both spellings, and listed by the audit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mammofill.ground.errors import LeakError
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion

_FLOAT_FORM = re.compile(r"(\D*)(\d+)[.,]0*")
"""A number to which a spreadsheet added a decimal point, with or without a word before it."""
_THOUSANDS = re.compile(r"\D*\d{1,3}(?:[.,]000)+")
"""A number that may have a mark between its thousands, or three decimals: a thousand and one are spelled alike."""
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?e\+\d+|\d{15}00+", re.IGNORECASE)
"""What a spreadsheet makes of a long number: digits are gone for good. It keeps 15."""
_EXPONENT = re.compile(r"\d{1,15}(?:\.\d{1,15})?e\d{1,2}", re.IGNORECASE)
_RUNS = re.compile(r"[^\W\d_]+|\d+")
_WORDS_FOR_PATIENT = frozenset(
    {"p", "pt", "pat", "patient", "patientid", "patid", "pid", "id", "case", "subj", "sub", "subject", "no", "nr"}
)
"""Words that only say that a number is a patient's."""
_NOBODY = frozenset(
    {"nan", "none", "null", "nil", "n/a", "#n/a", "<na>", "unknown", "anonymous", "anonymized", "anonymised", "removed"}
)
"""What programs and people write where no patient is known: whoever is called so may be anybody."""
_SIDES = re.compile(r"(?:l|r|left|right)?(?:cc|mlo)?|(?:cc|mlo)(?:l|r|left|right)?")
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u03b1\u03bf\u03c1\u0131",
    "abekmhopctyxiaopi",
)
"""Letters of the Cyrillic and Greek alphabets (and an i without its dot) that look as Latin ones do."""


@dataclass(frozen=True)
class Doubt:
    """Identifiers of which nobody can say whether they are one person."""

    spellings: tuple[str, ...]
    why: str


def patient_key(patient_id: str) -> str:
    """Return what all spellings of one person's identifier have in common; "" if nothing is left.

    Compatible forms of letters and digits (Unicode NFKC), case, and everything that is no letter or digit make no
    difference, but digits that are parted stay parted: ``1-23`` is not ``12-3``. Of each run of digits leading zeros
    are left out, of a number in float form (``4.0``) the decimals; and a word that only says "patient" (P, PT, PATIENT,
    ID, ...) before a number is left out as well. Digits of all scripts are those from 0 to 9. Words that say that there
    is no patient (``nan``, ``unknown``, ...) leave nothing.
    """
    text = unicodedata.normalize("NFKC", patient_id).casefold().strip()
    if text in _NOBODY:
        return ""
    text = "".join(str(unicodedata.decimal(one, one)) for one in text)
    if not _THOUSANDS.fullmatch(text) and (as_float := _FLOAT_FORM.fullmatch(text)):
        text = as_float[1] + as_float[2]
    runs: list[str] = []
    for run in _RUNS.findall(text):
        if run[0].isdigit():
            runs.append(run.lstrip("0") or "0")
        elif runs and not runs[-1][0].isdigit():
            runs[-1] += run
        else:
            runs.append(run)
    if len(runs) > 1 and runs[0] in _WORDS_FOR_PATIENT and all(run[0].isdigit() for run in runs[1:]):
        del runs[0]
    return "-".join(runs)


def spellings_by_key(collection: Collection) -> dict[str, tuple[str, ...]]:
    """Return the ways in which each patient of a collection is written, by `patient_key`."""
    found: dict[str, set[str]] = {}
    for patient in _patients(collection):
        found.setdefault(patient_key(patient), set()).add(patient)
    return {key: tuple(sorted(spelt)) for key, spelt in sorted(found.items()) if key}


def one_person_each(collection: Collection) -> Collection:
    """Give each person of a collection one identifier: the longest of the spellings.

    Returns:
        The collection with a decision for each person who was spelled in several ways (``patient-spelled-differently``)
        and without mammograms of nobody (an exclusion, ``patient-unknown``).
    """
    several = {key: spelt for key, spelt in spellings_by_key(collection).items() if len(spelt) > 1}
    name_of = {one: max(spelt, key=lambda name: (len(name.strip()), name)).strip() for spelt in several.values()
               for one in spelt}  # fmt: skip
    told = [
        Decision(
            name_of[spelt[0]],
            name_of[spelt[0]],
            "patient-spelled-differently",
            f"The tables write one patient as {_quoted(spelt)}.",
            f"Taken for one person, {name_of[spelt[0]]!r}: all images are in one split.",
        )
        for spelt in several.values()
    ]
    return _without_nobody(_renamed(collection, name_of, told))


def doubts(collection: Collection) -> tuple[Doubt, ...]:
    """Return the identifiers that may be one person's and may be two persons'.

    - A number alone, and the same number with letters before it (``1`` and ``A1``).
    - Digits that one parts and another does not (``12-345`` and ``12345``).
    - A number that a spreadsheet has rounded (``1.23E+11``): several persons may have become one.
    - A number that can be read as another one is written: ``1,000`` and ``1`` or ``1000``, ``1e3`` and ``1000``.
    - The same number with the side or view of a picture behind it: ``12_L``, ``12_R`` and ``12``.
    - Names that look alike: but for accents, or for letters of another alphabet.
    """
    spelt = spellings_by_key(collection)
    found = [
        Doubt(rounded, "a spreadsheet rounded this number, and digits of it are lost")
        for spellings in spelt.values()
        if (rounded := tuple(one for one in spellings if _ROUNDED.fullmatch(one.strip())))
    ]
    for key, spellings in spelt.items():
        runs = key.split("-")
        numbers = [run for run in runs if run.isdigit()]
        bare = "-".join(numbers)
        if len(runs) == len(numbers) + 1 and not runs[0].isdigit() and bare in spelt:
            found.append(Doubt((spelt[bare][0], spellings[0]), "the same number, once with letters before it"))
        together = re.sub(r"\D", "", spellings[0]).lstrip("0")
        if len(runs) == len(numbers) > 1 and together in spelt:
            found.append(Doubt((spelt[together][0], spellings[0]), "the same digits, once parted"))
    return (*found, *_of_two_readings(spelt), *_alike(spelt))


def _of_two_readings(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return numbers that can be read as another patient's is written."""
    found = []
    for spellings in spelt.values():
        text = unicodedata.normalize("NFKC", spellings[0]).strip()
        readings: list[str] = []
        if _THOUSANDS.fullmatch(text):
            readings = [re.sub("[.,]", "", text), re.sub(r"[.,]000$", "", text)]
        elif _EXPONENT.fullmatch(text) and float(text) == int(float(text)):
            readings = [str(int(float(text)))]
        for reading in readings:
            if (other := spelt.get(patient_key(reading))) and other != spellings:
                found.append(Doubt((other[0], spellings[0]), "the same number, if it is read as one"))
    return found


def _alike(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers that differ in what is not the patient's, or in what the eye does not see."""
    found = []
    for plain, why in (
        (_without_side, "the same but for a side or a view behind it"),
        (_as_it_looks, "the same but for accents or letters of another alphabet"),
    ):
        first: dict[str, str] = {}
        for key, spellings in spelt.items():
            other = first.setdefault(plain(key), key)
            if other != key:
                found.append(Doubt((spelt[other][0], spellings[0]), why))
    return found


def _without_side(key: str) -> str:
    """Return a key without the side and view behind its number."""
    number, dash, letters = key.rpartition("-")
    return number if dash and number[-1].isdigit() and _SIDES.fullmatch(letters) else key


def _as_it_looks(key: str) -> str:
    plain = unicodedata.normalize("NFD", key.translate(_LOOK_ALIKE))
    return "".join(one for one in plain if not unicodedata.combining(one))


def check_patients(collection: Collection) -> None:
    """Refuse a collection in which nobody can say who is one person.

    Raises:
        LeakError: names the spellings.
    """
    unsure = doubts(collection)
    if unsure:
        shown = "; ".join(f"{' and '.join(map(repr, one.spellings))} ({one.why})" for one in unsure[:10])
        more = f"; and {len(unsure) - 10} more" if len(unsure) > 10 else ""
        raise LeakError(
            f"It is not clear who is one person: {shown}{more}. If one person is in two splits, a classifier is tested "
            "on what it has seen. Write each person in one way, and different persons in ways that cannot be mistaken."
        )


def _patients(collection: Collection) -> Iterable[str]:
    yield from (entry.patient_id for entry in collection.mammograms)
    yield from (row.patient_id for row in collection.listed)


def _renamed(collection: Collection, name_of: Mapping[str, str], told: list[Decision]) -> Collection:
    if not told:
        return collection

    def name(patient: str | None) -> str | None:
        return name_of.get(patient, patient) if patient else patient

    return Collection(
        tuple(replace(entry, patient_id=name_of.get(entry.patient_id, entry.patient_id))
              for entry in collection.mammograms),
        tuple(replace(one, patient_id=name(one.patient_id)) for one in collection.exclusions),
        (*(replace(one, patient_id=name(one.patient_id)) for one in collection.decisions), *told),
        tuple(replace(row, patient_id=name_of.get(row.patient_id, row.patient_id)) for row in collection.listed),
    )  # fmt: skip


def _without_nobody(collection: Collection) -> Collection:
    nobody = [entry for entry in collection.mammograms if not patient_key(entry.patient_id)]
    if not nobody:
        return collection
    exclusions = [
        Exclusion(
            entry.mammogram_id,
            None,
            "patient-unknown",
            f"{entry.mammogram_id} names no patient ({entry.patient_id!r}). Without one, nothing keeps a person in one "
            "split.",
        )
        for entry in nobody
    ]
    kept = tuple(entry for entry in collection.mammograms if patient_key(entry.patient_id))
    return replace(collection, mammograms=kept, exclusions=(*collection.exclusions, *exclusions))


def _quoted(spellings: Iterable[str]) -> str:
    return " and as ".join(repr(one) for one in spellings)
