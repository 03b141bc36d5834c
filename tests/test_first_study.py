"""A study file for what is there: it runs as it is written, and its comments are true."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammofill.cli import main
from mammofill.experiment import read_study
from mammofill.experiment.first_study import look_at, study_text, write_first_study
from mammofill.ground.errors import SettingsError, SourceError, TooFewError


def write_own(folder: Path, *labels: str, split: str = "", rows: int = 300, patient: str = "p{}") -> Path:
    """Write a table with a lesion for each label, or a normal mammogram, each of another patient."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((rows, 40), 90, np.uint8)).save(folder / "image.png")
    lines = ["image,mask,patient,pathology,split"]
    for number, label in enumerate(labels):
        (folder / f"{number}.png").write_bytes((folder / "image.png").read_bytes())
        mask = "" if label == "normal" else f"{number}.mask.png"
        if mask:
            (folder / mask).write_bytes((folder / "image.png").read_bytes())
        lines.append(f"{number}.png,{mask},{patient.format(number)},{label},{split}")
    (folder / "own.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "own.csv"


def test_the_study_file_is_fitted_and_reads_as_a_study(tmp_path: Path) -> None:
    table = write_own(tmp_path / "eigene Daten ü", *["B"] * 12, *["M"] * 9, "normal")
    said = write_first_study(table, tmp_path / "studies" / "study.toml", "cpu")
    assert "own.csv: table, 22 mammograms (1 normal) of 22 patients" in said
    assert "train 6, 5, validation 2, 1, test 4, 3" in said
    assert "plan " + str(tmp_path / "studies" / "study.toml") + " --benign 4 --malignant 3" in said
    study = read_study(tmp_path / "studies" / "study.toml")
    assert study.plan.source == table
    assert (study.plan.settings["ingest"].height_px, study.plan.settings["extract-patches"].size_px) == (256, 64)
    assert [arm.name for arm in study.plan.arms] == ["real", "real + generated"]
    assert study.plan.grid.infillers == 3
    assert "test_share = 0.3                  # 3 patients in the smaller class: folds" in study.path.read_text("utf-8")


def test_a_split_under_another_name_is_pointed_out(tmp_path: Path) -> None:
    table = write_own(tmp_path, *["benign"] * 6, *["malignant"] * 6, split="train")
    lines = table.read_text("utf-8").replace("pathology,split", "pathology,subset").splitlines()
    table.write_text("\n".join([*lines[:-1], lines[-1].replace("train", "test")]), "utf-8")
    said = write_first_study(table, tmp_path / "study.toml", "cpu")
    assert "its column 'subset' says train (11x), test (1x). Did you mean split?" in said


def test_sizes_and_networks_follow_the_device_and_the_images(tmp_path: Path) -> None:
    found = look_at(write_own(tmp_path, "benign", "malignant", rows=1900))
    settings = tomllib.loads(study_text(found, tmp_path / "study.toml", "cuda"))
    assert (settings["device"], settings["ingest"]["height_px"]) == ("cuda", 1900)
    assert (settings["train-infiller"]["preset"], settings["train-classifier"]["preset"]) == ("flow", "modern")


def test_weights_at_hand_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = look_at(write_own(tmp_path, "benign", "malignant"))
    assert "# weights: not here yet" in study_text(found, tmp_path / "study.toml", "cuda")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    kept = tmp_path / "hub" / "checkpoints" / "convnext_tiny-983f1562.pth"
    kept.touch()
    assert f"# weights: found: {kept}" in study_text(found, tmp_path / "study.toml", "cuda")


def test_crops_are_taken_whole_and_painted_over(tmp_path: Path) -> None:
    square, mask = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8), np.zeros((64, 64), np.uint8)
    mask[6:58, 10:50] = 255
    lines = [
        f"{number}.png,m{number}.png,p{number},{label}" for number, label in enumerate(["benign", "malignant"] * 8)
    ]
    for number in range(16):
        Image.fromarray(square).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / f"m{number}.png")
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["image,mask,patient,pathology", *lines]))
    assert "crops that were cut around one lesion each" in write_first_study(table, tmp_path / "study.toml", "cpu")
    study = read_study(tmp_path / "study.toml")
    assert study.plan.settings["extract-patches"].whole
    assert study.plan.settings["pair-patches"].contexts == "lesion"
    assert study.plan.settings["pair-patches"].hole == study.plan.infillers["infiller"].hole
    assert study.plan.infillers["infiller"].hole.rim_px == 3
    assert (tmp_path / "study.toml").read_text().count("rim_px") == 1
    assert study.plan.windows is None
    mask[6:58, 10:50] = 0
    mask[20:30, 20:30] = 255
    for number in range(16):
        Image.fromarray(mask).save(tmp_path / f"m{number}.png")
    assert not look_at(table).crops, "a square mammogram whose lesion is small is none"


def test_a_split_of_the_collection_is_kept(tmp_path: Path) -> None:
    found = look_at(write_own(tmp_path, "benign", "malignant", split="test"))
    assert tomllib.loads(study_text(found, tmp_path / "study.toml", "cpu"))["ingest"]["split"] == "auto"
    assert found.counts["test"] == {"benign": 1, "malignant": 1}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("mine")
    with pytest.raises(SettingsError, match=r"study.toml is there already. Give another --out"):
        write_first_study(write_own(tmp_path, "benign"), tmp_path / "study.toml", "cpu")
    assert (tmp_path / "study.toml").read_text() == "mine"


def test_what_cannot_be_studied_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not recognised as any of cbis-ddsm"):
        look_at(tmp_path)
    with pytest.raises(TooFewError, match=r"names no lesion that can be used.*--pathology_words gutartig=CLASS"):
        look_at(write_own(tmp_path, "gutartig"))


def test_a_class_or_a_device_that_is_not_there_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    with pytest.raises(TooFewError, match="has no malignant lesion that can be used"):
        write_first_study(write_own(tmp_path, "benign", "benign"), path, "cpu")
    with pytest.raises(SettingsError, match="--device must be auto, cpu or cuda, but is 'gpu'"):
        write_first_study(write_own(tmp_path, "benign", "malignant"), path, "gpu")
    assert not path.exists()


def test_three_patients_are_told_to_be_too_few_when_the_file_is_written(tmp_path: Path) -> None:
    said = write_first_study(write_own(tmp_path, "benign", "malignant", "benign"), tmp_path / "study.toml", "cpu")
    assert (
        "WARNING: no patients for validation benign, validation malignant, test malignant, so that `run` will" in said
    )
    enough = write_own(tmp_path / "more", *["benign", "malignant"] * 8)
    assert "WARNING" not in write_first_study(enough, tmp_path / "more" / "study.toml", "cpu")


def test_a_column_split_without_test_patients_is_told_with_the_setting_that_draws_one(tmp_path: Path) -> None:
    said = write_first_study(
        write_own(tmp_path, *["benign", "malignant"] * 8, split="train"), tmp_path / "study.toml", "cpu"
    )
    assert "WARNING: no patients for test benign, test malignant, so that `run` will refuse" in said
    assert 'or split = "patients" in [ingest], which draws a split instead of the collection\'s own.' in said
    assert "--benign 0" not in said, "plan would refuse that"
    assert "mammofill plan" not in said


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_own(tmp_path, "benign", "malignant", "benign", "malignant", "benign", "malignant")
    assert main(["init", "own.csv", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "wrote study.toml, for the CPU of this machine" in said
    assert main(["run", "study.toml", "--out", "runs/own", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "No fault was found, and nothing has run" in shown
    assert shown.count("schedule.batch = 8") == 1, "the second and third infiller differ from the first in nothing"
    assert shown.count("\n  settings as of infiller_0\n") == 2
    assert "settings as of evaluations/real_seed-0, but for\n" in shown
    assert not (tmp_path / "runs").exists()
    begun = tmp_path / "runs" / "own" / "mammograms.partial"
    begun.mkdir(parents=True)
    (begun / "plan.json").write_text('{"seed": 1}', encoding="utf-8")
    assert main(["run", "study.toml", "--out", "runs/own", "--dry-run"]) == 4
    assert (
        "Refused, as made with other settings or seed, or from other inputs: runs/own/mammograms. Take"
        in capsys.readouterr().out
    )
