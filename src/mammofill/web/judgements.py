"""What the page shows of a judgement: the sentences and the measures of the report, and what its pictures show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mammofill.judging import Judgement
from mammofill.report.judgements import read_judgement


def measures_shown(judgement: Judgement) -> dict[str, Any]:
    """Return all that the page shows of a judgement but for what it shows of every artifact.

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
