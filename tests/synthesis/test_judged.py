"""What a judgement says of an infiller decides whether synthesis may use it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from toy_infilling import World

from mammofill.ground.artifact import Artifact, begin, read_manifest
from mammofill.ground.errors import ArtifactError, DamagedError, SettingsError
from mammofill.ground.progress import Progress
from mammofill.infilling import Infiller
from mammofill.synthesis import SynthesizeSettings, synthesize

SOME = SynthesizeSettings(benign=2, malignant=2)


@dataclass(frozen=True)
class Judged:
    verdict: str


def make_judgement(out: Path, infiller: Infiller, verdict: str, split: str = "validation") -> Artifact:
    """Write as much of a judgement as synthesis reads."""
    measure = {"value": 0.12, "low": 0.1, "high": 0.2, "verdict": verdict}
    reached = measure | {"verdict": "reached", "value": 0.97}
    content = {
        "infillers": [{"name": "toy", "fingerprint": infiller.fingerprint, "class_painted": verdict}],
        "measures": {
            "toy": {
                "class_share_of_real_auc": reached,
                "malignant_above_benign": measure,
                "standardised_share_of_real_auc": reached,
            }
        },
        "split": split,
        "patients": [f"{split}-patient-benign-0"],
    }
    with begin(out, kind="judgement", stage="judge-infiller", settings=Judged(verdict), seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "judgement.json").write_text(json.dumps(content))
        work.finish({"infillers": 1})
    return Artifact(out, read_manifest(out))


class Saying(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_without_a_judgement_there_is_a_warning_unless_it_is_meant(world: World, tmp_path: Path) -> None:
    warned, meant = Saying(), Saying()
    synthesize(world.infiller, world.pairs, world.patches, tmp_path / "a", SOME, progress=warned)
    (line,) = [line for line in warned.said if "WARNING: it has not been judged whether the infiller" in line]
    assert "give --judgement, or set unjudged; in a study file, add a table [judge-infiller]" in line
    knowingly = replace(SOME, unjudged=True)
    found = synthesize(world.infiller, world.pairs, world.patches, tmp_path / "b", knowingly, progress=meant)
    assert not any("WARNING" in line for line in meant.said)
    assert found.manifest.settings["unjudged"] is True


def test_who_judges_afterwards_is_not_warned(world: World, tmp_path: Path) -> None:
    saying = Saying()
    given = (world.infiller, world.pairs, world.patches)
    synthesize(*given, tmp_path / "a", SOME, progress=saying, judged_later=True)
    assert not any("WARNING" in line for line in saying.said)


def test_an_infiller_that_does_not_paint_the_class_is_refused(world: World, tmp_path: Path) -> None:
    judgement = make_judgement(tmp_path / "no", world.infiller, "not reached")
    with pytest.raises(
        ArtifactError, match=r"does not paint the requested class .*\(malignant_above_benign 0.12; see .*wrong labels"
    ):
        synthesize(world.infiller, world.pairs, world.patches, tmp_path / "x", SOME, judgement=judgement)
    with pytest.raises(SettingsError, match="unjudged is set, but the judgement in .* is given"):
        synthesize(
            world.infiller,
            world.pairs,
            world.patches,
            tmp_path / "x",
            replace(SOME, unjudged=True),
            judgement=judgement,
        )
    assert not (tmp_path / "x").exists()


def test_one_that_paints_it_is_taken_and_who_chose_it_is_told(world: World, tmp_path: Path) -> None:
    heard = Saying()
    judgement = make_judgement(tmp_path / "yes", world.infiller, "reached")
    found = synthesize(
        world.infiller, world.pairs, world.patches, tmp_path / "x", SOME, judgement=judgement, progress=heard
    )
    assert not any("WARNING" in line for line in heard.said)
    ways = found.manifest.learned_patients()["validation-patient-benign-0"]
    assert ways == ["judge-infiller (validation: choice of the infiller)"]
    assert "judgement" in {record.role for record in found.manifest.inputs}
    unclear = make_judgement(tmp_path / "open", world.infiller, "open")
    synthesize(world.infiller, world.pairs, world.patches, tmp_path / "y", SOME, judgement=unclear, progress=heard)
    assert any("leaves it open whether" in line for line in heard.said)


def test_a_judgement_of_another_infiller_or_version_is_refused(world: World, tmp_path: Path) -> None:
    other = make_judgement(tmp_path / "other", world.infiller, "reached")
    path = other.folder / "judgement.json"
    content = json.loads(path.read_text())
    content["infillers"][0]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"is not about the infiller in .*, but about toy"):
        synthesize(world.infiller, world.pairs, world.patches, tmp_path / "x", SOME, judgement=other)
    path.write_text(json.dumps({"infillers": [{"name": "toy"}]}))
    with pytest.raises(DamagedError, match="does not say whether the class is painted. Judge the infiller again"):
        synthesize(world.infiller, world.pairs, world.patches, tmp_path / "x", SOME, judgement=other)
