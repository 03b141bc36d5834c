"""The paper's own rows, as data, and how they must be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """One row of the paper's table 1, with the counts that give it.

    Source: Peterka, Bosnić, Osipov, "Improving mammogram classification by generating artificial images", Information
    Society 2020, table 1. The counts are not printed there; they were found by searching for whole numbers that give
    the printed digits.
    """

    name: str
    accuracy: float
    recall: float
    printed_auc: float
    """The column that the paper calls AUC."""
    malignant_right: int
    malignant: int
    benign_right: int
    benign: int

    @property
    def specificity(self) -> float:
        """Share of benign patches called benign, from the counts; the paper does not print it."""
        return self.benign_right / self.benign

    @property
    def counts(self) -> str:
        """The counts in words."""
        return f"{self.malignant_right}/{self.malignant} malignant and {self.benign_right}/{self.benign} benign right"


PAPER_TABLE = (
    PaperRow("shallow CNN", 0.57267, 0.44810, 0.54943, 259, 578, 600, 922),
    PaperRow("ResNet-50", 0.60155, 0.55769, 0.59443, 145, 260, 243, 385),
    PaperRow("ResNet-50 + traditional augmentation", 0.67132, 0.64231, 0.66666, 167, 260, 266, 385),
    PaperRow("ResNet-50 + traditional + artificial", 0.76145, 0.61538, 0.71638, 160, 260, 555, 679),
)

PAPER_NOTE = (
    "The column that the paper calls “AUC” equals the mean of recall and specificity in every row: it is the balanced "
    "accuracy of hard labels, not an area under a ROC curve of scores, and stands in that column here.",
    "The counts that give the printed digits show three different test sets: 578 malignant and 922 benign patches in "
    "row 1, 260 and 385 in rows 2 and 3, 260 and 679 in row 4. With 294 more benign patches, part of row 4's gain in "
    "accuracy is a changed test set; its recall is below that of row 3.",
    "The paper gives no intervals. Its rows were measured on CBIS-DDSM and are not comparable with the rows above "
    "and only show what was printed: other patches, cut and chosen in another way, and another split.",
)
"""How the paper's rows must be read; every number in it was recomputed from the rows."""
