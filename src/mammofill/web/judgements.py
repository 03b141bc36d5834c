"""Content of the page of a judgement: sentences and measures as in the report, and captions of its pictures."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mammofill.judging import Judgement
from mammofill.report.judgements import read_judgement


def measures_shown(judgement: Judgement) -> dict[str, Any]:
    """Return the content of the page of a judgement, without what all artifacts' pages have.

    Args:
        judgement: of infillers.
    """
    judged = read_judgement(judgement)
    pictures = (judgement.contact_sheet.name, judgement.spectra_picture.name)
    return {
        "reading": judged.reading,
        "basis": judged.basis,
        "columns": judged.columns,
        "criteria": [
            {"words": words, "rows": [asdict(one) for one in rows]} for words, rows in judged.criteria if rows
        ],
        "remarks": judged.remarks,
        "notes": {name: figure.note for name, figure in zip(pictures, judged.figures, strict=True)},
    }
