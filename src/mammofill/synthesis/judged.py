"""What a judgement says of an infiller: whether it paints the requested class.

Judging comes after synthesis and knows of it; here its ``judgement.json`` is read as data.
"""

from __future__ import annotations

import json
from typing import Any

from mammofill.ground.artifact import Artifact, LearnedFrom
from mammofill.ground.errors import ArtifactError, DamagedError
from mammofill.infilling import Infiller

_CLASS = ("class_share_of_real_auc", "malignant_above_benign", "standardised_share_of_real_auc")
"""Measures that say whether the class is painted."""


def check_class_painted(infiller: Infiller, judgement: Artifact) -> str:
    """Refuse an infiller that does not paint the requested class.

    Args:
        infiller: which.
        judgement: an artifact of kind ``judgement``.

    Returns:
        What the judgement says of the class: reached, open or cannot be judged.

    Raises:
        ArtifactError: it is not about this infiller, or says that the class is not painted.
        DamagedError: ``judgement.json`` cannot be read, or is another version's.
    """
    content = _read(judgement)
    judged = [one for one in content["infillers"] if one["fingerprint"] == infiller.fingerprint]
    if not judged:
        names = ", ".join(str(one["name"]) for one in content["infillers"])
        raise ArtifactError(
            f"The judgement in {judgement.folder} is not about the infiller in {infiller.folder}, but about {names}. "
            "Judge this one with judge-infiller, or leave the judgement out and set unjudged."
        )
    verdict = str(judged[0]["class_painted"])
    if verdict == "not reached":
        measures = content["measures"][judged[0]["name"]]
        found = ", ".join(
            f"{name} {measures[name]['value']:.2f}" for name in _CLASS if measures[name]["verdict"] == "not reached"
        )
        raise ArtifactError(
            f"The infiller in {infiller.folder} does not paint the requested class ({found}; see "
            f"{judgement.folder}), so a classifier would learn wrong labels from its fills. Train another infiller. "
            "For a control that is meant to be so, leave the judgement out and set unjudged."
        )
    return verdict


def chosen_by(judgement: Artifact) -> LearnedFrom:
    """Return whose lesions and tissue decided that an infiller may paint: of the split that it was judged on.

    Validation patients may choose, as they choose among a classifier's weights; who is tested on others that did is
    refused by `train_classifier`.
    """
    content = _read(judgement)
    return LearnedFrom(f"judge-infiller ({content['split']}: choice of the infiller)", tuple(content["patients"]))


def _read(judgement: Artifact) -> dict[str, Any]:
    path = judgement.folder / "judgement.json"
    again = "Judge the infiller again with this version of mammofill."
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path} cannot be read ({error}). {again}") from error
    if not {"measures", "patients"} <= set(content) or any(
        "class_painted" not in one for one in content.get("infillers", [])
    ):
        raise DamagedError(f"{path} does not say whether the class is painted. {again}")
    return content
