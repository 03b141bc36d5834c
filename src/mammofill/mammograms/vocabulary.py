"""The words that a mammogram is described with. Tables hold their values as plain strings."""

from __future__ import annotations

from enum import StrEnum


class Laterality(StrEnum):
    """Which breast."""

    LEFT = "left"
    RIGHT = "right"


class View(StrEnum):
    """The projection: craniocaudal or mediolateral oblique."""

    CC = "cc"
    MLO = "mlo"


class Pathology(StrEnum):
    """What the tissue was found to be; the truth that a classifier is measured against."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


class Abnormality(StrEnum):
    """The kind of lesion. `OTHER`: architectural distortions, asymmetries and the ill-defined."""

    MASS = "mass"
    CALCIFICATION = "calcification"
    OTHER = "other"


class Split(StrEnum):
    """What a patient's images are used for; decided once, in ingest, for the whole patient."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Origin(StrEnum):
    """Where a patch comes from."""

    REAL = "real"
    SYNTHETIC = "synthetic"
