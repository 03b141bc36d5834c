"""How lesions that are handed out came to be, in words: who gets them must know whether they are a patient's.

A fill of a trained network is nobody's lesion. One of `copy-paste` is a patient's, laid into other tissue, and one of
`texture` is none at all. The table of a patch set names the infiller; how it paints is said by its manifest, which the
lineage of the set leads to, unless it was moved or made anew since.
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
    """What a dataset card says of such patches, after their number."""


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
        "only asked for: the place was filled with texture of the tissue, without a lesion",
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
    """Say whether fills of a method are a trained network's, and so nobody's lesion."""
    return method not in _OTHERS


def painted_how(method: str) -> PaintedHow:
    """Return the words for the fills of a method; of an empty one, that it is not known."""
    return _OTHERS.get(method, _LEARNED)


def methods_of(patches: PatchSet) -> dict[str, str]:
    """Return the method of each infiller that painted a set: fingerprint -> method, empty where it is not found."""
    found = {one.manifest.fingerprint: str(one.manifest.settings.get("method", ""))
             for one in upstream(patches).get("infiller", [])}  # fmt: skip
    return {str(name): found.get(str(name), "") for name in sorted(set(patches.table["infiller"].dropna()))}
