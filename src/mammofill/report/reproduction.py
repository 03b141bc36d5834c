"""What somebody else needs to get the same numbers: the command, the study file, versions, seeds and fingerprints."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from mammofill.comparison.plan import plan_files, read_plans
from mammofill.evaluation import Evaluation
from mammofill.report.lineage import Lineage

STUDY_NAME = "study.toml"
_PLANS = "plans"
_LIBRARIES = ("mammofill", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "opencv-python-headless")


@dataclass(frozen=True)
class Reproduction:
    """How to make it all again, as shown."""

    command: str
    study: str
    """The study file; empty where the stages were run one by one."""
    facts: tuple[tuple[str, str], ...]


def read_reproduction(evaluations: Sequence[Evaluation], lineage: Lineage) -> Reproduction:
    """Gather what is needed.

    Args:
        evaluations: all of them.
        lineage: what they came from.

    Raises:
        DamagedError: the study's plans were changed after they were written.
    """
    study = _study_of(evaluations)
    made = [one.manifest for one in lineage.artifacts]
    seeds = sorted({one.seed for one in made})
    of_kind = {kind: lineage.of_kind(kind) for kind in ("mammograms", "patches", "pairs", "infiller")}
    facts = [
        ("test set", evaluations[0].test_set),
        *((f"{kind} {one.folder.name}", one.fingerprint) for kind, several in of_kind.items() for one in several),
        ("seeds", ", ".join(map(str, seeds))),
        ("made with mammofill", ", ".join(sorted({one.package_version for one in made}))),
        ("devices", ", ".join(sorted({one.device for one in made if one.device})) or "none needed"),
        ("this page was written with", ", ".join(_versions())),
        ("on", f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"),
    ]
    command = f"mammofill run {STUDY_NAME} --out runs/again" if study else ""
    return Reproduction(command, study, tuple(facts))


def _study_of(evaluations: Sequence[Evaluation]) -> str:
    """Return the study file that `mammofill run` left above evaluations; empty where none was run for them.

    A study file alone proves nothing: `mammofill init` writes one of the same name, beside which stages may have been
    run one by one. A run writes its plan before anything else, and the plan names its arms.
    """
    for folder in evaluations[0].folder.absolute().parents[:2]:
        path = folder / STUDY_NAME
        plans = read_plans(plan_files(folder / _PLANS)) if path.is_file() else []
        if plans and {one.arm for one in evaluations} <= set(plans[-1].content["arms"]):
            # A page that is passed on should not reveal where files lie on somebody's disk.
            return re.sub(r'"/[^"\n]*/([^"/\n]+)"', r'"…/\1"', path.read_text(encoding="utf-8"))
    return ""


def _versions() -> list[str]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue  # not needed for a page
    return found
