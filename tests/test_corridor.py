"""The whole way: practice mammograms in, a report out; and a patient on both sides of the split refused."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from mammofill.cli import main
from mammofill.experiment import StudyRun, run_study
from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import LeakError


@dataclass(frozen=True)
class Nothing:
    """Settings without fields."""


def fingerprints(artifacts: dict[Path, Artifact]) -> dict[str, str]:
    return {str(place): artifact.fingerprint for place, artifact in artifacts.items()}


def test_phantoms_walk_through_every_room(corridor: StudyRun) -> None:
    places = [str(place) for place in corridor.artifacts]
    assert places == [
        "phantoms",
        "mammograms",
        "patches",
        "shares/0.5/patches",
        "pairs",
        "shares/0.5/pairs",
        "test-pairs",
        "infiller",
        "shares/0.5/infiller",
        "synthetic",
        "shares/0.5/synthetic",
        "classifiers/real-only",
        "classifiers/real-only_share-0.5",
        "classifiers/real-and-generated",
        "classifiers/real-and-generated_share-0.5",
        "evaluations/real-only",
        "evaluations/real-only_share-0.5",
        "evaluations/real-and-generated",
        "evaluations/real-and-generated_share-0.5",
        "judgement",
        "comparison",
        "report",
    ]
    page = (corridor.last.folder / "index.html").read_text(encoding="utf-8")
    assert "real-only" in page or "real only" in page
    assert (corridor.out / "study.toml").is_file()


def test_no_patient_is_in_two_splits_and_synthetic_patches_come_from_train(corridor: StudyRun) -> None:
    real = corridor.artifacts[Path("patches")].table  # type: ignore[attr-defined]
    synthetic = corridor.artifacts[Path("synthetic")].table  # type: ignore[attr-defined]
    assert real.groupby("patient_id")["split"].nunique().max() == 1
    train = set(real.loc[real["split"] == "train", "patient_id"])
    assert len(synthetic) > 0
    assert set(synthetic["patient_id"]) <= train
    assert set(synthetic["mask_donor_patient_id"]) <= train


def test_whom_the_infiller_learned_from_travels_to_the_evaluation(corridor: StudyRun) -> None:
    infiller = corridor.artifacts[Path("infiller")].manifest.learned_patients()
    classifier = corridor.artifacts[Path("classifiers/real-and-generated")].manifest.learned_patients()
    assert infiller
    for patient, ways in infiller.items():
        assert set(ways) <= set(classifier[patient])


def test_the_same_study_again_runs_nothing(corridor: StudyRun) -> None:
    again = run_study(corridor.study.path, corridor.out)
    assert all(seconds is None for seconds in again.seconds.values())
    assert fingerprints(dict(again.artifacts)) == fingerprints(dict(corridor.artifacts))


def test_cells_side_by_side_make_what_one_after_the_other_makes(corridor: StudyRun, tmp_path: Path) -> None:
    made_before = [place for place in corridor.artifacts if place.parts[0] not in ("classifiers", "evaluations")]
    for place in made_before[: made_before.index(Path("judgement"))]:
        shutil.copytree(corridor.out / place, tmp_path / "study" / place)
    again = run_study(corridor.study.path, tmp_path / "study", workers=2)
    assert fingerprints(dict(again.artifacts)) == fingerprints(dict(corridor.artifacts))
    assert again.seconds[Path("infiller")] is None
    # What each took by its own clock, not its share of what all took.
    for place in (Path("classifiers/real-only"), Path("classifiers/real-and-generated_share-0.5")):
        assert again.seconds[place] == again.artifacts[place].manifest.wall_seconds


def test_what_is_learned_from_fewer_patients_is_learned_from_them_alone(corridor: StudyRun) -> None:
    whole, few = (corridor.artifacts[Path(place)].table for place in ("patches", "shares/0.5/patches"))  # type: ignore[attr-defined]
    kept = set(few.loc[few["split"] == "train", "patient_id"])
    assert 0 < len(kept) < whole.loc[whole["split"] == "train", "patient_id"].nunique()
    classifier = corridor.artifacts[Path("classifiers/real-and-generated_share-0.5")]
    train = set(whole.loc[whole["split"] == "train", "patient_id"])
    assert set(classifier.manifest.learned_patients()) & train == kept
    judged = [corridor.artifacts[Path(f"evaluations/real-only{part}")] for part in ("", "_share-0.5")]
    assert judged[0].test_set == judged[1].test_set  # type: ignore[attr-defined]


def test_a_study_killed_in_the_middle_goes_on_to_the_same_bytes(corridor: StudyRun, tmp_path: Path) -> None:
    """Killed for real (SIGKILL), from the command line, while the infiller trains."""
    out = tmp_path / "study"
    for place in ("phantoms", "mammograms", "patches", "pairs"):
        shutil.copytree(corridor.out / place, out / place)
    command = [sys.executable, "-m", "mammofill", "run", str(corridor.study.path), "--out", str(out), "--plain"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = out / "infiller.partial" / "plan.json"
    while not begun.is_file() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begun.is_file()
    assert not (out / "infiller").exists()
    again = run_study(corridor.study.path, out)
    assert fingerprints(dict(again.artifacts)) == fingerprints(dict(corridor.artifacts))
    assert again.seconds[Path("mammograms")] is None
    assert again.seconds[Path("infiller")] is not None


def test_a_leaked_patient_is_refused_by_name_and_with_the_way_in(
    corridor: StudyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test set into which somebody put a patient that the classifier learned from."""
    leaked, patient = with_a_train_patient_in_test(corridor.artifacts[Path("patches")], tmp_path / "patches")
    classifier = corridor.artifacts[Path("classifiers/real-and-generated")]
    code = main(["evaluate", str(classifier.folder), str(leaked), "--out", str(tmp_path / "evaluation"), "--quiet"])
    shown = capsys.readouterr().err
    assert code == LeakError.exit_code
    assert patient in shown
    assert "train-classifier" in shown
    assert not (tmp_path / "evaluation").exists()


def with_a_train_patient_in_test(patches: Artifact, folder: Path) -> tuple[Path, str]:
    """Copy a patch set, moving one train patient with a lesion into test, as a careless program might."""
    from mammofill.ground.artifact import begin
    from mammofill.patches import PatchSet

    assert isinstance(patches, PatchSet)
    lesions = patches.table.iloc[patches.rows(split="train", pathology=("benign", "malignant"))]
    patient = str(lesions["patient_id"].iloc[0])
    with begin(folder, kind="patches", stage="somebody-else", settings=Nothing(), seed=0, inputs={}) as work:
        assert work is not None
        for shard in patches.shards:
            table = pd.read_parquet(shard)
            table.loc[table["patient_id"] == patient, "split"] = "test"
            table.to_parquet(work.folder / shard.name)
        shutil.copy(patches.folder / "dropped.parquet", work.folder)
        work.finish(counts={"patches": len(patches.table)})
    return folder, patient


def test_the_report_says_what_the_study_found_and_keeps_its_tables(corridor: StudyRun) -> None:
    page = (corridor.last.folder / "index.html").read_text(encoding="utf-8")
    sentences = pd.read_parquet(corridor.out / "comparison" / "sentences.parquet")
    for words in ("real and generated against real only", "Differences in AUC", "against the share of the patients"):
        assert words in page
    assert page.index('id="answer"') < page.index('id="forest"') < page.index('id="table1"')
    assert len(sentences) > 0
    # Of each arm one classifier stands in the tables below; all of them are in the comparison.
    assert corridor.last.manifest.counts["arms"] == 2
    beside = corridor.last.folder / "comparison"
    differences = pd.read_csv(beside / "differences.csv")
    assert {"difference", "low", "high", "p_holm", "smallest_shown"} <= set(differences)
    assert (
        r"\begin{tabular}" in (beside / "differences.tex").read_text()
        or "longtable" in (beside / "differences.tex").read_text()
    )
