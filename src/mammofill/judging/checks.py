"""What may be judged, by whom, and on whom."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mammofill.classifier import THRESHOLD_ALONE, Classifier
from mammofill.ground.artifact import Artifact
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, LeakError, TooFewError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import Infiller
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Lesions
from mammofill.mammograms.across_sets import learned_patients
from mammofill.pairing import Pairs
from mammofill.pairing.hole import holes_of
from mammofill.pairing.pixels import check_own_lesions_hidden, check_same_patches
from mammofill.patches import PatchSet


def check_inputs(
    infillers: Sequence[Infiller],
    classifier: Classifier,
    standardised: Classifier | None,
    patches: PatchSet,
    pairs: Pairs,
) -> str:
    """Refuse what could not be judged honestly; return the split that the pairs are of.

    Raises:
        LeakError, ArtifactError, TooFewError: see `judge_infiller`.
    """
    if not infillers:
        raise ArtifactError("There is no infiller to judge. Name the folders of infillers.")
    check_same_patches(pairs, patches)
    split = _split_of(pairs, patches)
    for infiller in infillers:
        _check_infiller(infiller, patches)
    twice = [one for number, one in enumerate(infillers) if one.fingerprint in
             {before.fingerprint for before in infillers[:number]}]  # fmt: skip
    if twice:
        raise ArtifactError(f"The infiller in {twice[0].folder} is given twice. Name each one once.")
    classifiers = [classifier] if standardised is None else [classifier, standardised]
    for each in classifiers:
        check_independent(each)
    _check_standardised(classifier, standardised)
    people = pd.unique(pairs.table[["context_patient_id", "mask_donor_patient_id"]].to_numpy(dtype=object).ravel())
    of_split = patches.table["patient_id"].iloc[patches.rows(split=split, origin="real")]
    for one in (*infillers, *classifiers):
        _check_unknown_to(one, patches, {*map(str, people), *map(str, of_split)}, split)
    return split


def check_holes(infillers: Sequence[Infiller], contexts: Lesions, pairs: Pairs, patches: PatchSet) -> None:
    """Refuse pairs whose holes do not lie in their patch, or leave something of the lesion that is painted over.

    Fills would be judged by the cut, or by what is real around them.

    Raises:
        ArtifactError: it says how to make pairs that fit.
    """
    for infiller in infillers:
        check_own_lesions_hidden(pairs, patches, contexts.rows, contexts.masks, infiller.hole, infiller.folder)
        cut = sum(touches_border(hole) for hole in holes_of(contexts.masks, infiller.hole))
        if cut:
            raise ArtifactError(
                f"{pairs.folder}: {cut} of {len(contexts)} holes touch the border of their patch, so that no whole "
                f"lesion can be painted. The infiller in {infiller.folder} repaints {infiller.hole}: make the pairs "
                f"with pair-patches {infiller.hole.options}."
            )


def _split_of(pairs: Pairs, patches: PatchSet) -> str:
    split_of = dict(zip(patches.table["patch_id"], patches.table["split"], strict=True))
    names = {*pairs.table["context_patch_id"], *pairs.table["mask_donor_patch_id"]}
    splits = sorted({str(split_of.get(name, "(no such patch)")) for name in names})
    if len(splits) != 1:
        raise ArtifactError(
            f"The pairs in {pairs.folder} are of several splits: {', '.join(splits) or 'none at all'}. Fills are "
            "judged beside the real lesions of one split: make pairs with pair-patches --split test."
        )
    return splits[0]


def _check_infiller(infiller: Infiller, patches: PatchSet) -> None:
    if infiller.begin_time < 1:
        raise ArtifactError(
            f"The infiller in {infiller.folder} keeps a part of the lesion that is there (sampling.begin_time "
            f"{infiller.begin_time:g}), so its fills would be judged by what is real in them. Judge the one that "
            "begins with noise, from which it has its weights."
        )
    if infiller.size_px != patches.size_px:
        raise ArtifactError(
            f"The infiller in {infiller.folder} fills patches of {infiller.size_px} px, but those in {patches.folder} "
            f"are {patches.size_px} px. Judge it on patches of its own size."
        )
    for name in CLASSES:
        if not infiller.classes_learned.get(name, 0):
            raise TooFewError(
                f"The infiller in {infiller.folder} learned from no {name} lesion, so none can be requested of it, and "
                "whether it paints the requested class cannot be measured. Train it on lesions of both classes."
            )


def check_independent(classifier: Classifier) -> None:
    """Refuse a classifier that learned from generated patches, as a judge of such.

    Raises:
        ArtifactError: it says by which way.
    """
    ways = sorted({
        record.through for record in classifier.manifest.patients_learned_from
        if "synthetic" in record.through or record.through.startswith("train-infiller")
    })  # fmt: skip
    if ways:
        raise ArtifactError(
            f"The classifier in {classifier.folder} learned from generated patches (through {', '.join(ways)}). It may "
            "recognise the class of a fill by traces of the infiller, as no reader of real mammograms could. Judge "
            "with a classifier that learned from real patches only."
        )


def _check_standardised(classifier: Classifier, standardised: Classifier | None) -> None:
    if classifier.standardise:
        raise ArtifactError(
            f"The classifier in {classifier.folder} was trained with standardise, and sees neither level nor contrast. "
            "Give it as --standardised, beside one that sees all."
        )
    if standardised is not None and not standardised.standardise:
        raise ArtifactError(
            f"The classifier in {standardised.folder} was not trained with standardise, so it sees level and contrast. "
            "Train one with --standardise true."
        )


def _check_unknown_to(one: Artifact, patches: PatchSet, patients: set[str], split: str) -> None:
    # A judge's threshold is not used, so patients on whom nothing else was chosen may be judged on: settings are tried
    # on validation.
    known = learned_patients(one, patches).items()
    kept = {patient: {way for way in every if not way.startswith(THRESHOLD_ALONE)} for patient, every in known}
    ways = {patient: sorted(others) for patient, others in kept.items() if others}
    leaking = sorted(patients & set(ways))
    if leaking:
        shown = "".join(f"\n  {patient}: through {', '.join(ways[patient])}" for patient in leaking[:10])
        more = f"\n  ... and {len(leaking) - 10} more" if len(leaking) > 10 else ""
        raise LeakError(
            f"The {one.kind} in {one.folder} learned from {counted(len(leaking), 'patients')} of the {split} split, "
            "into whose tissue or outlines would be painted, or whose lesions fills would be compared "
            f"with:{shown}{more}\nIt may have memorised them. Give pairs of a split from which neither learned: "
            "pair-patches --split test."
        )
