"""Which side, which view: words of tables and headers, read in one way for all collections."""

from __future__ import annotations

CONTRADICTS = "file-contradicts-table"
"""Rule of the decision about a file whose name or header says another side or view than its table."""

DONE = "Kept as the table has it. If files are exchanged, lesions lie on other films: put them right."

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
VIEWS = {"cc": "cc", "mlo": "mlo"}


def read_side(text: str | None) -> str | None:
    """Return left or right; None for anything else."""
    return SIDES.get((text or "").strip().lower())


def read_view(text: str | None) -> str | None:
    """Return cc or mlo; None for anything else."""
    return VIEWS.get((text or "").strip().lower())


def contradicted(side: str | None, view: str | None, said_side: str | None, said_view: str | None) -> str:
    """Say how what a file says contradicts its table, for messages; "" where either says nothing, or both the same."""
    both = ((said_side, side), (said_view, view))
    return " and ".join(f"{said}, where the table says {told}" for said, told in both if said and told and said != told)
