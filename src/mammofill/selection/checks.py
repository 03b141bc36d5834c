"""What may be selected, and which classifier may read which fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.ground.artifact import Artifact, taught_by
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, LeakError
from mammofill.judging.checks import check_independent
from mammofill.mammograms.across_sets import one_person_in_both
from mammofill.patches import PatchSet

_PEOPLE = ["patient_id", "mask_donor_patient_id"]


def check_inputs(synthetic: PatchSet, patches: PatchSet, classifiers: Sequence[Classifier]) -> NDArray[np.bool_]:
    """Refuse what could not be selected honestly; return which classifier may read which fill.

    Returns:
        (N, C) bool: the classifier learned from neither patient of the fill. Where some of these also share no patient
        with the infiller, only they may.

    Raises:
        LeakError, ArtifactError: see `select_synthetic`.
    """
    _check_synthetic(synthetic, patches)
    _check_classifiers(classifiers, patches)
    return _readers(synthetic, classifiers)


def people_of(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return whose tissue and whose outline each synthetic patch has, (N, 2)."""
    return table[_PEOPLE].to_numpy(dtype=object)


def infillers_patients(synthetic: PatchSet) -> set[str]:
    """Return the patients from whom the painter of synthetic patches learned."""
    records = synthetic.manifest.patients_learned_from
    return {one for record in records if record.through.startswith("train-infiller") for one in record.patients}


def patients_of(classifier: Artifact, patches: Artifact) -> set[str]:
    """Return the patients from whose patches a classifier learned; not those who chose among its weights alone.

    Who has another name in the sets of mammograms behind `patches` is there by that name as well.
    """
    taught = taught_by(classifier.manifest.patients_learned_from)
    return taught.union(same.other for same in one_person_in_both(classifier, patches) if same.own in taught)


def _check_synthetic(synthetic: PatchSet, patches: PatchSet) -> None:
    table = synthetic.table
    real = int((table["origin"] != "synthetic").sum())
    if real or not len(table):
        raise ArtifactError(
            f"{synthetic.folder} holds {real} real patches of {len(table)}. Selected are synthetic ones: give what "
            "synthesize made first, then the real patches."
        )
    nameless = table["patch_id"][table[_PEOPLE].isna().any(axis=1)]
    if len(nameless):
        raise LeakError(
            f"{synthetic.folder}: {counted(len(nameless), 'fills')}, such as {nameless.iloc[0]}, do not say whose "
            "tissue or whose outline they have, so it is unknown which classifier learned from these patients."
        )
    if synthetic.size_px != patches.size_px:
        raise ArtifactError(
            f"The fills in {synthetic.folder} have {synthetic.size_px} px, the patches in {patches.folder} "
            f"{patches.size_px} px. Give the patches that the fills were painted into."
        )
    absent = table["context_patch_id"][~table["context_patch_id"].isin(patches.table["patch_id"])]
    if len(absent):
        raise ArtifactError(
            f"{len(absent)} of {len(table)} fills in {synthetic.folder} were painted into patches that are not in "
            f"{patches.folder}, such as {absent.iloc[0]!r}. Give the patches that the pairs were made from."
        )
    split_of = dict(zip(patches.table["patient_id"], patches.table["split"], strict=True))
    for column in _PEOPLE:
        for patch, patient in zip(table["patch_id"], table[column], strict=True):
            if split_of.get(patient, "train") != "train":
                raise LeakError(
                    f"{synthetic.folder}: the fill {patch} is of patient {patient}, who is in the {split_of[patient]} "
                    "split. Fills are for training, and thresholds come from validation patients: make fills from "
                    "pairs of the train split."
                )


def _check_classifiers(classifiers: Sequence[Classifier], patches: PatchSet) -> None:
    if not classifiers:
        raise ArtifactError("There is no classifier to read the fills. Name the folders of one or more.")
    known = [one.fingerprint for one in classifiers]
    for number, one in enumerate(classifiers):
        if one.fingerprint in known[:number]:
            raise ArtifactError(f"The classifier in {one.folder} is given twice. Name each one once.")
        check_independent(one)
        validation = set(patches.table["patient_id"].iloc[patches.rows(split="validation")].astype(str))
        leaking = sorted(validation & patients_of(one, patches))
        if leaking:
            raise LeakError(
                f"The classifier in {one.folder} learned from {counted(len(leaking), 'validation patients')}, such as "
                f"{leaking[0]}. Thresholds are set on their lesions, which it may have memorised: give a classifier "
                "that learned from train patients only."
            )


def _readers(synthetic: PatchSet, classifiers: Sequence[Classifier]) -> NDArray[np.bool_]:
    people = people_of(synthetic.table)
    learned = [patients_of(one, synthetic) for one in classifiers]
    unknown = np.array([[known.isdisjoint(pair) for known in learned] for pair in people], np.bool_)
    unread = np.flatnonzero(~unknown.any(axis=1))
    if len(unread):
        row = int(unread[0])
        who = "".join(
            f"\n  {one.folder} learned from {', '.join(sorted(known & set(people[row])))}"
            for one, known in zip(classifiers, learned, strict=True)
        )
        raise LeakError(
            f"{len(unread)} of {len(people)} fills in {synthetic.folder} have no classifier that saw neither of their "
            f"patients, such as {synthetic.table['patch_id'].iloc[row]}, into tissue of {people[row, 0]} with the "
            f"outline of {people[row, 1]}:{who}\n"
            "A classifier may have memorised its own patients. Train one on each of three parts of the patients "
            "(select-patches --patients_share 0.333 --parts [0], [1], [2]) and give all three: each fill is of two."
        )
    painter = infillers_patients(synthetic)
    apart = unknown & np.array([known.isdisjoint(painter) for known in learned], np.bool_)
    return np.where(apart.any(axis=1, keepdims=True), apart, unknown)
