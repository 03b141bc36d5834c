"""Settings of selecting synthetic patches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_choice, check_setting

QUANTILES = ("class_fidelity", "typicality", "seam", "detection")
"""Scores whose threshold is a quantile of real validation lesions."""
ORDERS = ("all", *QUANTILES, "originality")
"""By what the best can be taken."""


@dataclass(frozen=True)
class SelectSyntheticSettings:
    """Which fills are kept.

    Class_fidelity, typicality, seam and detection are quantiles: a fill must reach that quantile of the scores of the
    real validation lesions of its class. 0.05 means "as good as 95 % of real lesions"; 0 leaves the score out. All
    defaults are ours, from fills on practice mammograms.

    Attributes:
        class_fidelity: log-odds for the requested class, by classifiers that saw none of the fill's patients. 0 also
            leaves out `other_class`.
        other_class: these log-odds must also exceed those of this share of the real validation lesions of the other
            class: that share of wrong labels would be detected. The worse the classifiers separate the classes, the
            more fills are lost; 0 leaves it out.
        typicality: closeness to real lesions of the class in the features of these classifiers.
        seam: how little the rings around the hole look painted to a forest that learned from other patients. Less
            strict, since a forest finds traces that no eye sees and that hardly affect a classifier.
        detection: how little spectrum and brightness look painted to such a forest.
        refuse_copies: refuse fills that count as copies of a training lesion: their correlation with it is at least
            halfway between 1 and that of the two most similar training lesions of different patients.
        balance: keep the classes in the proportion in which they were painted, with the best of the class of which more
            pass; if one class passed more easily, being synthetic would reveal the class.
        ratio: keep at most this many fills for each real lesion patch of their class in the train split; unset keeps
            all that pass.
        top: keep at most this many in all, in the painted proportion of the classes; unset keeps all that pass.
        by: score by which the best are taken, if not all that pass are kept: one of the four; originality (correlation
            with the nearest training lesion); or all, the worst of the four, each as the share of real lesions that
            score lower.
        random: the control: as many of each class as would be kept, drawn at random from all fills.
        least_real: fewest real validation lesions of a class, however many patches show them, that set a threshold;
            with fewer the stage stops.
        least_auc: below this AUC on real validation lesions there is a warning: the classifier hardly separates the
            classes.
        folds: parts into which the forests divide the patients.
        trees: trees in each forest.
        shown: fills in each row of the picture.
        batch: patches per batch of a classifier. Does not change the scores beyond rounding.
    """

    class_fidelity: float = 0.05
    other_class: float = 0.8
    typicality: float = 0.05
    seam: float = 0.01
    detection: float = 0.01
    refuse_copies: bool = True
    balance: bool = True
    ratio: float | None = None
    top: int | None = None
    by: str = "all"
    random: bool = False
    least_real: int = 20
    least_auc: float = 0.7
    folds: int = 5
    trees: int = 100
    shown: int = 10
    batch: int = execution(64)

    def __post_init__(self) -> None:
        """Raise SettingsError unless the order is known and numbers are in range."""
        for field in (*QUANTILES, "other_class"):
            check_setting(self, field, 0 <= getattr(self, field) < 1, "in [0, 1)")
        fits = self.ratio is None or (math.isfinite(self.ratio) and self.ratio > 0)
        check_setting(self, "ratio", fits, "above 0, or unset")
        check_setting(self, "top", self.top is None or self.top >= 1, "at least 1, or unset")
        check_choice(self, "by", *ORDERS)
        check_setting(self, "least_real", self.least_real >= 2, "at least 2")
        check_setting(self, "least_auc", 0.5 <= self.least_auc <= 1, "in [0.5, 1]")
        check_setting(self, "folds", self.folds >= 3, "at least 3")
        check_setting(self, "trees", self.trees >= 1, "at least 1")
        check_setting(self, "shown", self.shown >= 1, "at least 1")
        check_setting(self, "batch", self.batch >= 1, "at least 1")
