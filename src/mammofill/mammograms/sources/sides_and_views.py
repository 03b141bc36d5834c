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


def contradicted(side: str | None, view: str | None, file_side: str | None, file_view: str | None) -> str:
    """Say how what a file says contradicts its table, for messages; "" where either says nothing, or both the same."""
    both = ((file_side, side), (file_view, view))
    return " and ".join(
        f"{in_file}, where the table says {in_table}"
        for in_file, in_table in both
        if in_file and in_table and in_file != in_table
    )
