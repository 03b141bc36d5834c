"""Report: a page for people, with its main tables and its ROC curves as files of their own.

On disk::

    index.html                the whole report in one file; opens offline
    table1.csv, .tex          every measure of every arm with its interval, means over seeds where there is a
                              comparison, and the paper's rows
    confusion.csv, .tex       right and wrong calls of each arm at the frozen thresholds
    subgroups.csv, .tex       each arm on parts of the test set: density, view, abnormality, size
    attention.csv, .tex       where the classifiers of each arm look, where that was measured
    roc.svg                   the ROC curves
    COMPARISON/               the tables of each comparison, and as the page shows them (shown_*)
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mammofill.ground.artifact import Artifact


class Report(Artifact):
    """A written report. See the module for the folder."""

    kind: ClassVar[str] = "report"

    @property
    def page(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "index.html"
