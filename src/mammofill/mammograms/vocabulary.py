"""The vocabulary of facts about a mammogram. Tables have their values as plain strings."""

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
    """The pathological finding: the reference standard for classifiers."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


class Abnormality(StrEnum):
    """The kind of lesion. `OTHER`: architectural distortions, asymmetries and ill-defined lesions."""

    MASS = "mass"
    CALCIFICATION = "calcification"
    OTHER = "other"


class Split(StrEnum):
    """What a patient's images are used for; decided once, in ingest, for the whole patient."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Origin(StrEnum):
    """The origin of a patch."""

    REAL = "real"
    SYNTHETIC = "synthetic"
