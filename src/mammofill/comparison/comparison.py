"""Comparison: what the arms of a study scored on one test set, how they differ, and which conclusions this supports.

On disk, one Parquet table each, whose columns are listed below::

    arms.parquet         each group of replicates and measure, with its interval
    differences.parquet  each group with added patches against its counterpart, and further pairs; tests of the
                         primary measure
    doses.parquet        each arm at each dose
    shares.parquet       each arm at each share of the real patients
    break_even.parquet   how many real patches generated ones were worth
    sentences.parquet    the conclusions that these tables support, in words
    scores.parquet       each evaluation's score of each patch
    calibration.parquet  Brier score, ECE and likelihood of each evaluation, before and after its temperature
    reliability.parquet  observed share of malignant patches by score bin, over the replicates of a group
    curves.parquet       ROC and precision-recall curves with bands
    hardest.parquet      the patches with the largest mean error over all arms
    comparison.json      test set, reference, primary measure, family, plans, how the intervals were made

A *group* is an arm at a dose and a share of the real patients. Its *replicates* are whole chains of training, from the
infiller on; classifiers that learned from the fills of one infiller are one replicate together. In all tables
``dose`` is NaN for arms without synthetic or repeated patches (0 in ``doses``).
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, ClassVar

import pandas as pd

from mammofill.evaluation.calibration import RELIABILITY_COLUMNS
from mammofill.ground.artifact import Artifact
from mammofill.ground.parquet import read_parquet

GROUP_COLUMNS = {"arm": "string", "dose": "float64", "real_share": "float64"}

ARM_COLUMNS = GROUP_COLUMNS | {
    "measure": "string",  # see `metrics`
    "value": "float64",  # mean over replicates
    "low": "float64",  # of the interval over patients and training; NaN where it cannot be computed
    "high": "float64",
    "standard_error": "float64",
    "replicates": "int64",  # infillers, or classifiers where there are none
    "infillers": "int64",  # 0: nothing generated was learned from
    "classifiers": "int64",
    "training_sets": "int64",  # with no patient in common; 1: all learned from the same patients, or these overlap
    "over_seeds": "float64",  # standard deviation of the replicates' values; NaN for one
    "training": "string",  # seeds that the interval covers besides patients, in words; empty: patients alone
    "left_out": "int64",  # resamples of patients without a value, because a class was missing
}

DIFFERENCE_COLUMNS = {
    "arm": "string",  # the difference is the value of this group ...
    "dose": "float64",
    "against": "string",  # ... minus that of this one
    "against_dose": "float64",
    "real_share": "float64",  # of both
    "measure": "string",
    "tested": "bool",  # whether it belongs to the family of tests: primary measure alone
    "plan": "string",  # of `plan.STATUSES`
    "value": "float64",
    "against_value": "float64",
    "difference": "float64",
    "low": "float64",  # of its interval, not widened for the family
    "high": "float64",
    "standard_error": "float64",
    "p": "float64",  # two-sided, of no difference; this and what follows NaN where nothing was tested
    "p_holm": "float64",  # the same, adjusted over the family
    "family": "int64",  # comparisons that were tested together; 0 where this was not
    "verdict": "string",  # `VERDICTS`, from p_holm; empty where not tested
    "smallest_shown": "float64",  # true difference shown with the requested power, if this were the only comparison
    "smallest_shown_in_family": "float64",  # the same at the level that Holm's method requires of the smallest p
    "margin": "float64",  # difference below which a gain does not matter; NaN where none was stated
    "p_worth_less": "float64",  # one-sided, of a gain of the margin or more; adjusted over the family
    "p_not_worse": "float64",  # one-sided, of a loss of the margin or more; adjusted over the family
    "worth_less": "string",  # whether that was shown, of `SHOWN`; empty where not tested
    "not_worse": "string",
    "equivalent": "string",  # both
    "effect_size": "float64",
    "effect_kind": "string",  # d (AUC), h (shares), or empty
    "p_delong": "float64",  # of AUCs of scores averaged over replicates; patches as if independent; for reference only
    "p_delong_clustered": "float64",  # the same, patches of one patient alike (Obuchowski)
    "p_mcnemar": "float64",  # of accuracy; exact, patches as if independent; for reference only
    "only_arm_right": "int64",  # patches that only this group called right, -1 where McNemar's test does not apply
    "only_against_right": "int64",
    "infillers": "int64",
    "classifiers": "int64",
    "against_infillers": "int64",
    "against_classifiers": "int64",
    "training_sets": "int64",  # of the arm, as above
    "against_training_sets": "int64",
    "paired": "bool",  # whether these are the same ones, and the two are compared within each
    "shared_classifiers": "float64",  # share of the classifiers that are the very same ones in both, seed by seed
    "left_out": "int64",
}

DOSE_COLUMNS = GROUP_COLUMNS | {
    "measure": "string",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "replicates": "int64",
    "gain": "float64",  # over the arm that it is compared with, at the same share; NaN where there is none
    "gain_low": "float64",
    "gain_high": "float64",
}

SHARE_COLUMNS = DOSE_COLUMNS

BREAK_EVEN_COLUMNS = GROUP_COLUMNS | {
    "measure": "string",
    "value": "float64",  # of the arm
    "reference_value": "float64",  # of the real-only curve at the same share
    "worth_share": "float64",  # share of real patients at which the real-only curve reaches the value
    "worth_share_low": "float64",
    "worth_share_high": "float64",  # inf: beyond all the real patients there were
    "added_patches": "float64",  # generated or repeated ones; NaN where the evaluations do not say
    "worth_patches": "float64",  # number of real patches of the same worth; NaN likewise
    "worth_patches_low": "float64",
    "worth_patches_high": "float64",
    "reason": "string",  # why there is no number; empty where there is one
}

SENTENCE_COLUMNS = {
    "kind": "string",  # comparison, added, fills, dose, break-even, caution, not-compared, plan
    "arm": "string",  # whom it is about; empty for cautions
    "against": "string",
    "measure": "string",
    "verdict": "string",  # of a comparison
    "text": "string",
}

SCORE_COLUMNS = GROUP_COLUMNS | {
    "replicate": "int64",
    "infiller": "string",  # as in `Evaluation.infiller`; empty for none
    "patch_id": "string",
    "patient_id": "string",
    "pathology": "string",
    "lesion_ids": "string",
    "logit": "float64",  # log-odds of malignancy
    "score": "float64",  # probability of malignancy
    "called": "bool",  # malignant, at the evaluation's own frozen threshold
}

CALIBRATION_COLUMNS = GROUP_COLUMNS | {
    "replicate": "int64",
    "temperature": "float64",  # NaN where none could be fitted on validation patches
    "after_temperature": "bool",
    "brier": "float64",
    "ece": "float64",
    "nll": "float64",
    "calibration_slope": "float64",  # NaN where scores separate the classes
    "calibration_intercept": "float64",
}

GROUP_RELIABILITY_COLUMNS = GROUP_COLUMNS | RELIABILITY_COLUMNS

CURVE_COLUMNS = GROUP_COLUMNS | {
    "curve": "string",  # roc (x: 1 - specificity, y: recall) or pr (x: recall, y: precision)
    "x": "float64",
    "y": "float64",  # mean over replicates
    "low": "float64",  # of the pointwise band over patients (percentiles of the resamples; seeds are not in it)
    "high": "float64",
}

HARDEST_COLUMNS = {
    "rank": "int64",  # from 1, the hardest
    "patch_id": "string",
    "patient_id": "string",
    "pathology": "string",
    "mean_loss": "float64",  # negative log-likelihood in nats, mean over groups
    **GROUP_COLUMNS,
    "logit": "float64",  # of this group, mean over its replicates
    "score": "float64",  # its probability
}

VERDICTS = BETTER, WORSE, NOT_SHOWN, CANNOT_TELL, NO_FINDING, SAME = (
    "shown better",
    "shown worse",
    "no difference shown",
    "cannot be judged",
    "not a finding",  # trained once: variation between trainings is in no interval
    "the same classifiers",  # bit-identical scores: the difference is 0 for any patients
)

SHOWN = {True: "shown", False: "not shown"}
"""Of what was tested against a margin."""

TABLES: dict[str, dict[str, str]] = {
    "arms": ARM_COLUMNS,
    "differences": DIFFERENCE_COLUMNS,
    "doses": DOSE_COLUMNS,
    "shares": SHARE_COLUMNS,
    "break_even": BREAK_EVEN_COLUMNS,
    "sentences": SENTENCE_COLUMNS,
    "scores": SCORE_COLUMNS,
    "calibration": CALIBRATION_COLUMNS,
    "reliability": GROUP_RELIABILITY_COLUMNS,
    "curves": CURVE_COLUMNS,
    "hardest": HARDEST_COLUMNS,
}
"""Name of a table -> its columns and their types."""


_BEFORE_TRAINING_SETS = {"training_sets": 1, "against_training_sets": 1, "paired": False, "shared_classifiers": 0.0}
"""Values for tables that were made before arms could have several training sets, or share classifiers."""


class Comparison(Artifact):
    """The arms of a study against each other on one test set: ``sentences`` says in words what was shown.

    ``arms`` and ``differences`` hold the numbers with their intervals; every table of `TABLES` is an attribute. See the
    module for the columns and the files.
    """

    kind: ClassVar[str] = "comparison"

    def headline(self) -> str:
        """Say what was found, in the sentences of the report."""
        found = self.sentences.loc[self.sentences["kind"] == "comparison", "text"]
        return " ".join(found) or "nothing is compared"

    def table(self, name: str) -> pd.DataFrame:
        """Read one of `TABLES`."""
        table = read_parquet(self.folder / f"{name}.parquet")
        lacking = {column: value for column, value in _BEFORE_TRAINING_SETS.items() if column in TABLES[name]}
        table = table.assign(**{column: value for column, value in lacking.items() if column not in table})
        return table[list(TABLES[name])].astype(TABLES[name])

    @cached_property
    def arms(self) -> pd.DataFrame:
        """Columns of `ARM_COLUMNS`."""
        return self.table("arms")

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Columns of `DIFFERENCE_COLUMNS`."""
        return self.table("differences")

    @cached_property
    def doses(self) -> pd.DataFrame:
        """Columns of `DOSE_COLUMNS`."""
        return self.table("doses")

    @cached_property
    def shares(self) -> pd.DataFrame:
        """Columns of `SHARE_COLUMNS`."""
        return self.table("shares")

    @cached_property
    def break_even(self) -> pd.DataFrame:
        """Columns of `BREAK_EVEN_COLUMNS`."""
        return self.table("break_even")

    @cached_property
    def sentences(self) -> pd.DataFrame:
        """Columns of `SENTENCE_COLUMNS`."""
        return self.table("sentences")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Columns of `SCORE_COLUMNS`."""
        return self.table("scores")

    @cached_property
    def calibration(self) -> pd.DataFrame:
        """Columns of `CALIBRATION_COLUMNS`."""
        return self.table("calibration")

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """Columns of `GROUP_RELIABILITY_COLUMNS`."""
        return self.table("reliability")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Columns of `CURVE_COLUMNS`."""
        return self.table("curves")

    @cached_property
    def hardest(self) -> pd.DataFrame:
        """Columns of `HARDEST_COLUMNS`."""
        return self.table("hardest")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``comparison.json`` says."""
        facts: dict[str, Any] = json.loads((self.folder / "comparison.json").read_text(encoding="utf-8"))
        return facts

    @property
    def external(self) -> str:
        """Name of the source of the test patches where it is another one than the classifiers' own; else empty."""
        return str(self.facts.get("external", ""))

    @property
    def test_set(self) -> str:
        """Fingerprint of the test set."""
        return str(self.facts["test_set"])
