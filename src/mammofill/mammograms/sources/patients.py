"""Who is one person? One rule for the identifiers of patients, whatever table or header they come from.

A split by patient keeps a person on one side only if the person has one name. Tables spell it in several ways: ``P1``,
``p1 ``, ``P-1``, ``001`` and ``1``, ``4.0`` where a spreadsheet made a number of it, ``P_00001`` beside ``1``. So
identifiers are text, never numbers, and two of them are one person if they have the same `patient_key`. What may be
one person and may be two (`doubts`) is refused by `ingest`, with both spellings, and listed by the audit.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product, takewhile
from urllib.parse import unquote

from mammofill.ground.errors import LeakError
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion

_FLOAT_FORM = re.compile(r"(\D*)(\d+)[.,]0*")
"""A number to which a spreadsheet added a decimal point, with or without a word before it."""
_THOUSANDS = re.compile(r"\D*\d{1,3}(?:[.,]000)+")
"""A number that may have a mark between its thousands, or three decimals: a thousand and one are spelled alike."""
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?e\+\d+|\d{15}00+", re.IGNORECASE)
"""What a spreadsheet makes of a long number: digits are gone for good. It keeps 15."""
_EXPONENT = re.compile(r"\d{1,15}(?:\.\d{1,15})?e\d{1,2}", re.IGNORECASE)
_PERCENT = re.compile("%[0-9a-f]{2}", re.IGNORECASE)
_LOST = re.compile(r"(?<=[^\W\d_])(?:\?|\ufffd)+(?=[^\W\d_])")
"""Letters that are no more: a question mark, or the sign that Unicode has for it, between others."""
_RUNS = re.compile(r"[^\W\d_]+|\d+")
_WORDS_FOR_PATIENT = frozenset(
    {"p", "pt", "pat", "patient", "patientid", "patientno", "patientnumber", "patid", "pid", "id", "case", "caseid",
     "caseno", "subj", "sub", "subject", "subjectid", "no", "nr", "number", "num"}
)  # fmt: skip
"""Words that only say that a number is a patient's."""
_NOBODY = frozenset(
    {"nan", "none", "null", "nil", "n/a", "#n/a", "<na>", "unknown", "anonymous", "anonymized", "anonymised", "removed",
     "na", "n.a.", "n.a", "n/d", "nat", "missing", "not available", "not applicable", "undefined", "anon",
     "deidentified", "de-identified", "redacted", "tbd", "blank", "empty", "no name", "no id",
     "unk", "unk.", "not known", "not recorded", "not given", "not provided", "unspecified", "unknown patient",
     "(null)", "<null>", "unbekannt", "anonym",
     "inconnu", "desconocido", "sconosciuto", "sin dato", "#ref!", "#value!", "#name?", "#num!", "#null!", "#div/0!"}
)  # fmt: skip
"""What programs and people write where no patient is known: whoever is called so may be anybody."""
_CODE_FOR_MISSING = re.compile(r"-(?:1|9+)(?:[.,]0*)?")
"""Numbers below 0 that stand for a missing value: without its sign -1 would be patient 1."""
_OF_PICTURES = frozenset(
    {"l", "r", "left", "right", "cc", "mlo", "ml", "lm", "lcc", "rcc", "lmlo", "rmlo", "ccl", "ccr", "mlol", "mlor",
     "lt", "rt", "image", "img", "picture", "mask", "crop", "full", "dcm", "dicom", "png", "tif", "tiff", "jpg", "jpeg",
     "pgm", "baseline", "followup", "follow", "up", "prior", "current"}
)  # fmt: skip
"""Words for a side, a view, a kind of file or the time of a visit: beside the number of a patient they are no name."""
_BEHIND_PATIENT = _OF_PICTURES | {
    "xccl", "xccm", "lxccl", "rxccl", "lxccm", "rxccm", "lml", "rml", "llm", "rlm", "links", "rechts", "gauche",
    "droite", "droit", "izquierda", "izquierdo", "izq", "derecha", "derecho", "der", "sinistra", "sinistro", "destra",
    "destro", "esquerda", "direita", "re", "li", "ffdm", "sfm", "dbt", "tomo", "tomosynthesis", "cesm", "cedm", "dm",
    "cm", "pre", "pr\u00e4", "prae", "post", "before", "after", "initial", "old", "new",
}  # fmt: skip
"""Words that say nothing of who it is only behind the number of a patient: before it they may be a site's."""
_DIMENSIONS = (["2", "d"], ["3", "d"])
_OF_LISTS = frozenset({"mass", "masses", "calc", "calcification", "train", "training", "test", "validation", "val"})
"""Words for a list in which a patient stands, as CBIS-DDSM's folders have them before the patient's own word."""
_FOLDER_OF_CLASS = re.compile(r"(?:benign|malignant|normal|cancer)[/\\](?=\s*[a-z])", re.IGNORECASE)
"""A folder of pictures of one class, before the patient's own word."""
_YEAR = r"(?:19[3-9]|20[0-4])\d"
_TIME_BEHIND = re.compile(rf"(.*\d)[\W_]+({_YEAR}(?:([-_.]?)(?:0[1-9]|1[0-2])\3(?:0[1-9]|[12]\d|3[01]))?)\s*")
"""A year or a date (year, month, day) behind an identifier that has a number of its own."""
_NUMBER_BEHIND = re.compile(r"(.*\d)[\W_]+\d+\s*")
_FIRST_EXAMS = 1985
"""Older years and dates behind a number are no exams whose images anyone has, but of births. Ours."""
_MOST_EXAMS = 10
"""More years or dates behind one number are no exams of one person but serial numbers. Ours."""
_OTHER_TIME = "the same but for a year or date behind it"
_OF_VISITS = frozenset({"visit", "exam", "study", "session", "scan", "series", "timepoint", "v", "t"})
"""Words that say, with a number behind them, when a picture was taken."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TITLES = frozenset({"dr", "prof", "mr", "mrs", "ms", "miss", "mme", "frau", "herr", "sra"})
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u03b1\u03bf\u03c1\u0131"
    "\u0142\u00f8\u0111\u0127",
    "abekmhopctyxiaopilodh",
)
"""Letters of the Cyrillic and Greek alphabets (and an i without its dot) that look as Latin ones do, and Latin ones
with a stroke (\u0142, \u00f8, \u0111, \u0127)."""
_HASH = re.compile(r"(?<![0-9a-z])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,}(?![0-9a-z])")
"""A hash of a person, as INbreast has it in the names of its files. Ours: 16 digits or more."""
_ONE_HASH = "alike in a hash that both have"
_BETWEEN_PERSONS = re.compile(r"[;&|+]")


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
    is no patient (``nan``, ``unknown``, ``-1``, ...) leave nothing.
    """
    return _key(_runs(patient_id))


def _runs(patient_id: str) -> list[str]:
    """Return the words and numbers of an identifier, in lower case, numbers without leading zeros."""
    text = unicodedata.normalize("NFKC", patient_id).casefold().strip()
    if text in _NOBODY or _CODE_FOR_MISSING.fullmatch(text):
        return []
    text = "".join(str(unicodedata.decimal(one, one)) for one in text)
    if not _THOUSANDS.fullmatch(text) and (as_float := _FLOAT_FORM.fullmatch(text)):
        text = as_float[1] + as_float[2]
    return [(run.lstrip("0") or "0") if run[0].isdigit() else run for run in _RUNS.findall(text)]


def _key(runs: list[str]) -> str:
    words = list(takewhile(str.isalpha, runs))
    numbers = runs[len(words) :]
    if words and numbers and _WORDS_FOR_PATIENT.issuperset(words) and all(run.isdigit() for run in numbers):
        runs = numbers
    joined: list[str] = []
    for run in runs:
        if joined and run.isalpha() and joined[-1].isalpha():
            joined[-1] += run
        else:
            joined.append(run)
    return "-".join(joined)


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
    decisions = [
        Decision(
            name_of[spelt[0]],
            name_of[spelt[0]],
            "patient-spelled-differently",
            f"The tables write one patient as {_quoted(spelt)}.",
            f"Taken for one person, {name_of[spelt[0]]!r}: all images are in one split.",
        )
        for spelt in several.values()
    ]
    return _without_nobody(_renamed(collection, name_of, decisions))


def doubts(collection: Collection) -> tuple[Doubt, ...]:
    """Return the identifiers that may be one person's and may be two persons'.

    - A number alone, and the same number with letters before it (``1`` and ``A1``).
    - Digits that one parts and another does not (``12-345`` and ``12345``).
    - A number that a spreadsheet has rounded (``1.23E+11``): several persons may have become one.
    - A number that can be read as another one is written: ``1,000`` and ``1`` or ``1000``, ``1e3`` and ``1000``,
      ``1.10`` and ``1.1``, ``2-Jan`` and ``1-2``.
    - The same number with the side, view, kind, visit or list of a picture beside it: ``12_L``, ``12_R`` and ``12``,
      ``P1_2D`` and ``P1_DBT``, ``Mass-Training_P_1`` and ``Calc-Training_P_1``, ``benign/P1`` and ``malignant/P1``.
    - One that is another with a letter or a small number behind it: ``12``, ``12a`` and ``12-1``.
    - One that is another with more before it or behind it (``P1``, ``P1_2019``, ``P1_copy`` and ``SITE1-P1``).
    - Those that differ in what stands behind them, if it is a date (``12_20190305`` and ``12_20200405``) or, behind a
      patient's word and number, a year (``P1_2019`` and ``P1_2020``); and a name with a year behind it and without.
    - Those that have a hash in common, as names of INbreast's files have, and lists (``P1;P2`` and ``P2``).
    - Names that look alike: but for accents, for letters of another alphabet, for O and 0, I, l and 1, for titles and
      the order of words.
    - Names that went through a wrong encoding, or lost letters in one (``M\u00c3\u00bcller``, ``M%C3%BCller``,
      ``M?ller``).
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
        start, _, last = key.rpartition("-")
        if start in spelt and start[-1].isdigit() and (len(last) == 1 or (last.isdigit() and len(last) == 2)):
            found.append(Doubt((spelt[start][0], spellings[0]), "the same but for a letter or number behind it"))
    all_found = (
        *found,
        *_of_two_readings(spelt),
        *_alike(spelt),
        *_with_lost_letters(spelt),
        *_with_more(spelt),
        *_with_time(spelt),
        *_with_one_hash(spelt),
        *_in_lists(spelt),
        *_with_year_of_birth(spelt),
    )
    return tuple({frozenset(one.spellings): one for one in reversed(all_found)}.values())[::-1]


def in_both(own: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Find the identifiers of two sources that are, or may be, one person's.

    Other than within one source (`doubts`), a number with letters before it, or with more before or behind it, is
    another person: so persons who have the same number in two hospitals are kept apart.

    Args:
        own: identifiers of the one source.
        other: those of the other.

    Yields:
        Pairs of unlike identifiers, own and other, and why they are alike; a pair may come again.
    """
    alike = ((plain, f"they are {why}") for plain, why in _looks())
    for plain, why in ((patient_key, "both spell one identifier"), *alike):
        named: dict[str, list[str]] = {}
        for name in own:
            named.setdefault(plain(name), []).append(name)
        for name in other:
            same = named.get(plain(name), []) if patient_key(name) else []
            yield from ((one, name, why) for one in same if one != name)
    yield from _across(own, other, _exams, f"they are {_OTHER_TIME}")
    yield from with_one_hash(own, other)


def with_one_hash(own: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Find the identifiers of two sources that have a hash in common, of whatever collections they are; see `in_both`.

    Such a hash, of 16 digits or more, is of one person only, as those of INbreast and VinDr-Mammo are.
    """
    yield from _across(own, other, _of_one_hash, f"they are {_ONE_HASH}")


def _across(
    own: Sequence[str], other: Sequence[str], of_one: Callable[[Iterable[str]], list[list[str]]], why: str
) -> Iterator[tuple[str, str, str]]:
    """Yield the pairs of unlike identifiers, one of each source, that are of one person."""
    ours, theirs = set(own), set(other)
    for names in of_one(sorted(ours | theirs)):
        pairs = product((one for one in names if one in ours), (one for one in names if one in theirs))
        yield from ((one, name, why) for one, name in pairs if one != name)


def _with_more(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers that are another's with more before or behind it.

    What ends within a run of digits or letters is no such thing: ``P1`` and ``P10`` are two. Nor is a number alone
    behind others (``1-2`` and ``2``), unless a word for a patient stands before it.
    """
    first_of: dict[tuple[str, ...], tuple[str, ...]] = {}
    found = []
    for spellings in spelt.values():
        other = first_of.setdefault(tuple(_without_word(_runs(spellings[0]))), spellings)
        if other != spellings:
            found.append(Doubt((other[0], spellings[0]), "the same but for a word that says that it is a patient's"))
    for runs, spellings in first_of.items():
        if all(run.isdigit() for run in _runs(spellings[0])):
            continue  # ``12`` and ``12-345678``; short numbers behind it are doubted elsewhere
        starts = (runs[:end] for end in range(1, len(runs)) if any(run.isdigit() for run in runs[:end]))
        ends = (runs[at + 1 :] for at in range(len(runs) - 1) if runs[at] in _WORDS_FOR_PATIENT and at > 0)
        for part in (*starts, *ends):
            if (shorter := first_of.get(part)) and shorter != spellings:
                found.append(Doubt((shorter[0], spellings[0]), "the same but for what stands before or behind it"))
    return found


def _with_time(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers that differ in the year or date behind them alone, as exams of one person do.

    Where other numbers stand there as well, or more than anyone has exams, they are serial numbers: ``SITE1-2019`` of a
    site that has ``SITE1-0007``. A year alone may be a serial number as well, unless it stands behind a patient's own.
    Old dates are of births.
    """
    exams = _exams(spellings[0] for spellings in spelt.values())
    return [Doubt((names[0], other), _OTHER_TIME) for names in exams for other in names[1:]]


def _with_one_hash(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers that have a hash in common."""
    of_one = _of_one_hash(spellings[0] for spellings in spelt.values())
    return [Doubt((names[0], other), _ONE_HASH) for names in of_one for other in names[1:]]


def _of_one_hash(identifiers: Iterable[str]) -> list[list[str]]:
    """Return the identifiers that have a hash in common, unless more have it than anyone has exams, as of a site."""
    having: dict[str, list[str]] = {}
    for identifier in identifiers:
        for found in set(_HASH.findall(identifier.casefold().replace("_", " "))):
            having.setdefault(found, []).append(identifier)
    return [names for names in having.values() if len(names) <= _MOST_EXAMS]


def _in_lists(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers of several persons of whom another is one."""
    found = []
    for key, spellings in spelt.items():
        parts = _BETWEEN_PERSONS.split(spellings[0])
        others = [spelt[one][0] for one in map(patient_key, parts) if one in spelt and one != key and len(parts) > 1]
        found += [Doubt((other, spellings[0]), "one of a list of persons") for other in others]
    return found


def _exams(identifiers: Iterable[str]) -> list[list[str]]:
    """Return the identifiers that are one but for the year or date behind them; see `_with_time`."""
    exams: dict[str, list[str]] = {}
    serial = set()
    for identifier in identifiers:
        name = unicodedata.normalize("NFKC", identifier)
        if timed := _TIME_BEHIND.fullmatch(name):
            runs = _runs(timed[1])
            if int(timed[2][:4]) < _FIRST_EXAMS:
                serial.add(_key(runs))
            elif len(timed[2]) > len("2019") or _without_word(runs) != runs:
                exams.setdefault(_key(runs), []).append(identifier)
        elif numbered := _NUMBER_BEHIND.fullmatch(name):
            serial.add(patient_key(numbered[1]))
    return [names for person, names in exams.items() if person not in serial and len(names) <= _MOST_EXAMS]


def _with_year_of_birth(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return names of several words that are another's with a year behind it; two with other years are two persons."""
    plain = {_in_any_order(one[0]): one[0] for one in spelt.values() if all(map(str.isalpha, _runs(one[0])))}
    found = []
    for spellings in spelt.values():
        runs = _runs(spellings[0])
        words = list(takewhile(str.isalpha, runs))
        behind = runs[len(words) :]
        is_dated = all(map(str.isdigit, behind)) and any(re.fullmatch(_YEAR, run) for run in behind)
        if len(words) > 1 and is_dated and (other := plain.get(_in_any_order(" ".join(words)))):
            found.append(Doubt((other, spellings[0]), "the same name, once with a year behind it"))
    return found


def _without_word(runs: list[str]) -> list[str]:
    """Leave out words that only say that a number is a patient's, before that number."""
    words = list(takewhile(str.isalpha, runs))
    is_prefix = len(words) < len(runs) and _WORDS_FOR_PATIENT.issuperset(words)
    return runs[len(words) :] if is_prefix else runs


def _with_lost_letters(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return names in which a letter was replaced by a question mark, as it is where an encoding lacks it."""
    of_length: dict[int, list[str]] = {}
    for spellings in spelt.values():
        of_length.setdefault(len(_plainly_lost(spellings[0])), []).append(spellings[0])
    # The names without the letters at some places: a name is looked up among those of its own length.
    others: dict[tuple[int, tuple[int, ...]], dict[str, list[str]]] = {}
    found = []
    for name in (spellings[0] for spellings in spelt.values() if _LOST.search(spellings[0])):
        plain = _plainly_lost(name)
        gaps = tuple(at for at, letter in enumerate(plain) if letter == _GAP)
        if (shape := (len(plain), gaps)) not in others:
            others[shape] = {}
            for one in of_length[len(plain)]:
                others[shape].setdefault(_without(_plainly_lost(one), gaps), []).append(one)
        other = next((one for one in others[shape][_without(plain, gaps)] if one != name), None)
        if other:
            found.append(Doubt((other, name), "the same but for letters that were lost"))
    return found


_GAP = "\0"


def _plainly_lost(name: str) -> str:
    """Return a name in small letters, with one sign for each letter that was lost."""
    return _LOST.sub(_GAP, name).lower()


def _without(name: str, places: tuple[int, ...]) -> str:
    return "".join(letter for at, letter in enumerate(name) if at not in places)


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
        elif re.fullmatch(r"\d+[.,]\d*[1-9]0+", text):
            readings = [text.rstrip("0")]
        elif date := re.fullmatch(r"(\d{1,4})-([a-z]{3})|([a-z]{3})-(\d{1,4})", text.casefold()):
            readings = _before_it_was_a_date(date[1] or date[4], date[2] or date[3])
        for reading in readings:
            if (other := spelt.get(patient_key(reading))) and other != spellings:
                found.append(Doubt((other[0], spellings[0]), "the same number, if it is read as one"))
    return found


def _before_it_was_a_date(number: str, month: str) -> list[str]:
    """Return what a spreadsheet may have made a date of: ``1-2`` and ``2-1`` of ``2-Jan``, ``JAN2`` of the same."""
    if month not in _MONTHS:
        return []
    place = _MONTHS.index(month) + 1
    return [f"{place}-{number}", f"{number}-{place}", f"{month}{number}"]


def _alike(spelt: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """Return identifiers that differ in what is not the patient's, or in what the eye does not see."""
    found = []
    for plain, why in _looks():
        first: dict[str, str] = {}
        for key, spellings in spelt.items():
            other = first.setdefault(plain(spellings[0]), key)
            if other != key:
                found.append(Doubt((spelt[other][0], spellings[0]), why))
    return found


def _looks() -> tuple[tuple[Callable[[str], str], str], ...]:
    """Return what makes identifiers alike that may be one person's, each with its reason."""
    return (
        (_without_pictures, "the same but for a side, view, kind of picture, visit or list beside it"),
        (_as_it_looks, "the same but for accents or letters of another alphabet"),
        (_with_digits, "the same but for letters that look like digits"),
        (_in_any_order, "the same words in another order"),
    )


def _without_pictures(patient_id: str) -> str:
    """Return the key of what is left without words beside a number that speak of a picture, a visit or a list.

    Words that may be a name's as well are left out only behind a number.
    """
    runs = _runs(_FOLDER_OF_CLASS.sub("", patient_id))
    while runs and any(run.isdigit() for run in runs):
        is_numbered = any(run.isdigit() for run in runs[:-2])
        before_number = _OF_VISITS | (_BEHIND_PATIENT if is_numbered else _OF_PICTURES)
        if len(runs) > 2 and runs[-1].isdigit() and runs[-2] in before_number:
            del runs[-2:]  # of P_1_LEFT_CC_2 the last number is the lesion's
        elif is_numbered and runs[-2:] in _DIMENSIONS:
            del runs[-2:]
        elif runs[-1] in (_BEHIND_PATIENT | _WORDS_FOR_PATIENT):
            del runs[-1]
        elif runs[0] in _OF_PICTURES or (runs[0] in _OF_LISTS and runs[1].isalpha()):
            del runs[0]
        else:
            break
    return _key(runs)


def _as_it_was(patient_id: str) -> str:
    """Undo what programs do to letters: percent signs of URLs, entities of HTML, UTF-8 that was read as Latin-1."""
    text = html.unescape(unquote(patient_id, errors="strict") if _PERCENT.search(patient_id) else patient_id)
    for encoding in ("latin-1", "windows-1252"):
        with suppress(UnicodeError):
            return text.encode(encoding).decode("utf-8")
    return text


def _as_it_looks(patient_id: str) -> str:
    with suppress(UnicodeError):
        patient_id = _as_it_was(patient_id)
    plain = unicodedata.normalize("NFD", patient_key(patient_id).translate(_LOOK_ALIKE))
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    return re.sub(r"(?<=[a-z])([aou])e(?=[a-z]{2})", r"\1", plain)  # Mueller is how M\u00fcller is typed


def _with_digits(patient_id: str) -> str:
    """Return the key of what holds a digit with each O taken for a 0, and each capital I or small L for a 1."""
    text = unicodedata.normalize("NFKC", patient_id)
    plain = re.sub(r"(?<=\d)i", "1", re.sub("[lI|]", "1", re.sub("[oO]", "0", text)))
    return patient_key(plain if any(one.isdigit() for one in text) else text)


def _in_any_order(patient_id: str) -> str:
    """Return the words of a name, without titles, in the order of the alphabet; of what holds numbers the key."""
    with_titles = _runs(patient_id)
    is_of_words = all(run.isalpha() for run in with_titles)
    runs = [run for run in with_titles if run not in _TITLES] if is_of_words else with_titles
    is_name = len(with_titles) > 1 and all(run.isalpha() and len(run) > 1 for run in runs)
    return "-".join(sorted(runs)) if is_name else _key(runs)


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


def _renamed(collection: Collection, name_of: Mapping[str, str], decisions: list[Decision]) -> Collection:
    if not decisions:
        return collection

    def name(patient: str | None) -> str | None:
        return name_of.get(patient, patient) if patient else patient

    return Collection(
        tuple(replace(entry, patient_id=name_of.get(entry.patient_id, entry.patient_id))
              for entry in collection.mammograms),
        tuple(replace(one, patient_id=name(one.patient_id)) for one in collection.exclusions),
        (*(replace(one, patient_id=name(one.patient_id)) for one in collection.decisions), *decisions),
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
