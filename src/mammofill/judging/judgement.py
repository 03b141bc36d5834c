"""Judgement: what was measured of some infillers, and whether it meets the requirements.

On disk::

    table.csv              one row per infiller (or reference) and measure, columns of `MEASURE_COLUMNS`
    measures.parquet       the same
    judgement.json         the infillers, the classifiers, the numbers that were calibrated, the patients whose tissue
                           and lesions decided; of each infiller whether the class is painted, and in ``measures`` name
                           -> {value, low, high, verdict}
    table.txt              the verdicts side by side, for a console
    fills.parquet          one row per infiller or oracle and pair: patients, class, seed, scores, pixels changed
                           outside
    spectra.parquet        subject, frequency (cycles per pixel), power (mean log10), deviation, boxes
    spectra.png            these, drawn
    contact_sheet.png      the same cases filled by each infiller, beside the real lesions that lent their outlines
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from mammofill.ground.artifact import Artifact
from mammofill.ground.parquet import read_parquet

MEASURE_COLUMNS = {
    "subject": "string",  # name of an infiller; or of a reference, for comparison
    "method": "string",  # of the infiller; empty for real lesions and for nothing painted
    "criterion": "string",  # class, cues, spread, training, place, seam, detection, spectrum, distribution, variety
    "measure": "string",
    "value": "float64",
    "low": "float64",  # of the interval; NaN where there is none
    "high": "float64",
    "wanted": "string",  # what has to be reached, for example ">= 0.90"; empty where a number is only reported
    "verdict": "string",  # reached / not reached / open / cannot be judged; empty where nothing is wanted
    "words": "string",  # what the measure is
    "remark": "string",  # what prevents this verdict, or puts it in doubt
    "cases": "int64",
    "patients": "int64",
    "key": "string",  # its name in judgement.json; empty for what stands in tables only
}


class Judgement(Artifact):
    """What infillers paint, measured: ``measures`` has a row for each infiller and criterion, and a verdict.

    ``contact_sheet`` is a picture of fills beside real lesions. See the module for the columns and the files.
    """

    kind: ClassVar[str] = "judgement"

    def headline(self) -> str:
        """Say of each infiller whether it paints the requested class."""
        return "; ".join(f"{one['name']}: class painted {one['class_painted']}" for one in self.facts["infillers"])

    @cached_property
    def measures(self) -> pd.DataFrame:
        """One row per infiller (or reference) and measure, columns of `MEASURE_COLUMNS`."""
        return read_parquet(self.folder / "measures.parquet").astype(MEASURE_COLUMNS)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``judgement.json`` says."""
        facts: dict[str, Any] = json.loads((self.folder / "judgement.json").read_text(encoding="utf-8"))
        return facts

    @property
    def infillers(self) -> list[str]:
        """Names of the infillers, in the order in which they were given."""
        return [str(one["name"]) for one in self.facts["infillers"]]

    @property
    def references(self) -> list[str]:
        """What infillers are compared with: real lesions, nothing painted, and oracles where there are any."""
        return [str(one) for one in self.facts["references"]]

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row per infiller (or oracle) and pair.

        Columns: pair_id, context_patient_id, mask_donor_patient_id, requested_pathology (the donor's), infiller, seed;
        of the benign and of the malignant fill logit (log-odds of malignancy) and changed_outside (pixels).
        """
        return read_parquet(self.folder / "fills.parquet")

    @cached_property
    def spectra(self) -> pd.DataFrame:
        """subject, frequency, power, deviation, boxes."""
        return read_parquet(self.folder / "spectra.parquet")

    @property
    def contact_sheet(self) -> Path:
        """The picture to look at."""
        return self.folder / "contact_sheet.png"

    @property
    def spectra_picture(self) -> Path:
        """The spectra, drawn."""
        return self.folder / "spectra.png"
