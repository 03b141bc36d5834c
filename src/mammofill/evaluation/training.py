"""How a classifier came about: what was added to its real patches, and what it has in common with others.

A comparison asks of each arm with generated patches which other arm differs from it in nothing but these, and which of
its classifiers learned from the fills of one and the same infiller. The answers are in the settings of the classifier
and in its lineage, and need not be given again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mammofill.classifier.settings import USE_OF_FILLS
from mammofill.ground.artifact import upstream

if TYPE_CHECKING:
    from mammofill.classifier import Classifier
    from mammofill.ground.artifact import Artifact

ADDED = GENERATED, REPEATED = "generated", "repeated"
"""What a classifier may learn from besides real patches, each once; both where both are."""

UNKNOWN = "unknown"
"""Stands for the infillers of a classifier whose lineage no longer records them."""

_SELECTION = "select-synthetic"
"""The stage that keeps some generated patches, or none."""

_OF_ADDED_PATCHES = ("real", "dose", "dose_by", "repeats", *USE_OF_FILLS)
"""Settings of train-classifier that say how many patches of which kind are learned from, by which class and when."""


def what_was_learned(classifier: Classifier) -> dict[str, Any]:
    """Return what ``evaluation.json`` says of how a classifier was trained.

    Returns:
        ``real_patches`` and ``synthetic_patches`` learned from, and ``images_seen`` in training (None where not
        recorded); ``added``, of `ADDED`, or empty; ``recipe``, the same text for classifiers that were trained alike
        but for added patches and seed; ``infillers``, the fingerprints of those upstream, as what they painted names
        them: they need not be at their place; of the patch sets learned from where these were painted by none; or
        `UNKNOWN` where these are no longer at their place; none where nothing generated was learned from;
        ``fills_on_trial``, where validation decided whether generated patches are learned from: in how many of how many
        trainings it allowed them.
    """
    counts = learned_patches(classifier)
    settings, behind = classifier.manifest.settings, upstream(classifier)
    # A gate or a trial that lets nothing pass, in one fold of many, say, leaves an arm of generated patches what it is.
    gated = any(one.manifest.stage == _SELECTION for one in behind.get("patches", ()))
    on_trial = bool(settings.get("synthetic_if_better"))
    tried = on_trial and "synthetic_patches_on_trial" in classifier.facts
    added = [GENERATED] * bool(counts["synthetic_patches"] or gated or on_trial) + [REPEATED] * bool(
        settings.get("repeats")
    )
    infillers = _infillers(classifier, behind)
    if counts["synthetic_patches"] and not infillers:
        infillers = _sets_learned_from(classifier, behind)
    counts["images_seen"] = classifier.manifest.counts.get("images_seen")
    return {
        **counts,
        "added": " and ".join(added),
        "recipe": _recipe(classifier),
        "infillers": sorted(infillers),
        **({"fills_on_trial": [int(bool(counts["synthetic_patches"])), 1]} if tried else {}),
    }


def _infillers(classifier: Classifier, behind: Mapping[str, Sequence[Artifact]]) -> set[str]:
    """Return the fingerprints of the infillers upstream, those that are no longer at their place among them."""
    named = [record for one in (classifier, *behind.get("patches", ())) for record in one.manifest.inputs]
    found = {one.fingerprint for one in behind.get("infiller", ())}
    return found | {record.fingerprint for record in named if record.role == "infiller"}


def _sets_learned_from(classifier: Classifier, behind: Mapping[str, Sequence[Artifact]]) -> set[str]:
    """Return what identifies the painter of fills without an infiller upstream: their sets, or `UNKNOWN`.

    Where there is an infiller its sets are not used, since each would count as an infiller of its own.
    """
    there = behind.get("patches", ())
    named = [record for one in (classifier, *there) for record in one.manifest.inputs if record.kind == "patches"]
    if {record.fingerprint for record in named} - {one.fingerprint for one in there}:
        return {UNKNOWN}
    return {record.fingerprint for record in classifier.manifest.inputs if record.role == "patches"}


def learned_patches(classifier: Classifier) -> dict[str, int | None]:
    """Return how many real and how many synthetic patches a classifier learned from; None where it does not say."""
    counts = classifier.manifest.counts
    found: dict[str, int | None] = {}
    for origin in ("real", "synthetic"):
        own = [count for name, count in counts.items() if name.startswith(f"train_{origin}_")]
        found[f"{origin}_patches"] = sum(own) if own else None
    return found


def recipe_of(settings: Mapping[str, Any], starts_from_infiller: bool) -> str:
    """Return the same text for classifiers that are trained alike but for added patches and seed.

    Args:
        settings: of train-classifier, as a manifest records them.
        starts_from_infiller: whether the network is an infiller's discriminator.
    """
    kept = {name: value for name, value in settings.items() if name not in _OF_ADDED_PATCHES}
    text = json.dumps({**kept, "starts from an infiller": starts_from_infiller}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _recipe(classifier: Classifier) -> str:
    manifest = classifier.manifest
    return recipe_of(manifest.settings, any(record.role == "infiller" for record in manifest.inputs))
