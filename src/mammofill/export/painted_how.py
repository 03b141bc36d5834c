"""How exported lesions were made, in words: their recipients must know whether they are lesions of real patients.

A fill of a trained network is the lesion of no patient. One of `copy-paste` is a real lesion of a patient in other
tissue, and one of `texture` is no lesion at all. The table of a patch set names the infiller; its method is in its
manifest, which is found by the lineage of the set, unless the infiller was moved or made again since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mammofill.ground.artifact import upstream
from mammofill.patches import PatchSet


@dataclass(frozen=True)
class PaintedHow:
    """Words for the fills of one method."""

    lesion: str
    """One word that stands before the lesion."""
    done: str
    """What was done, for a DICOM derivation: "A benign mass was ..."."""
    code: tuple[str, str]
    """Value and meaning of the derivation's code."""
    contribution: str
    """What the equipment did."""
    card: str
    """The words of a dataset card for such patches, after their number."""


_LEARNED = PaintedHow(
    "Synthetic",
    "painted by a generative model",
    ("SYNTHESIZED_LESION", "Lesion painted by a generative model"),
    "Generative lesion infilling",
    "lesions are synthetic",
)
_OTHERS: Mapping[str, PaintedHow] = {
    "copy-paste": PaintedHow(
        "Pasted",
        "pasted: it is a real lesion of a patient, fitted to this tissue",
        ("PASTED_LESION", "Real lesion of a patient, pasted"),
        "Pasting of real lesions",
        "lesions are real ones of patients, pasted into other tissue",
    ),
    "texture": PaintedHow(
        "Sham",
        "requested but not painted: the place was filled with texture of the tissue, without a lesion",
        ("SHAM_LESION", "Tissue painted anew, without a lesion"),
        "Tissue texture infilling",
        "are shams, filled with texture of their own tissue, and show no lesion whatever their pathology says",
    ),
    "": PaintedHow(
        "Inserted",
        "inserted by an infiller whose method is not known: it may be a real lesion of a patient, pasted",
        ("INSERTED_LESION", "Lesion inserted, it is not known how"),
        "Lesion infilling",
        "lesions were painted by an infiller that is no longer at its place: it is not known whether they are "
        "synthetic, or real ones of patients, pasted",
    ),
}


def is_learned(method: str) -> bool:
    """Return whether fills of a method are a trained network's, and so the lesion of no patient."""
    return method not in _OTHERS


def painted_how(method: str) -> PaintedHow:
    """Return the words for the fills of a method; an empty one is not known."""
    return _OTHERS.get(method, _LEARNED)


def methods_of(patches: PatchSet) -> dict[str, str]:
    """Return the method of each infiller that painted a set: fingerprint -> method, empty where it is not found."""
    found = {one.manifest.fingerprint: str(one.manifest.settings.get("method", ""))
             for one in upstream(patches).get("infiller", [])}  # fmt: skip
    return {str(name): found.get(str(name), "") for name in sorted(set(patches.table["infiller"].dropna()))}
