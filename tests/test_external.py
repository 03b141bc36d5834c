"""An external source in a study: what is planned, what is refused, and a tiny study from end to end."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.experiment import read_study, run_study
from mammofill.ground.errors import LeakError, SettingsError, SourceError
from mammofill.ground.imaging import encode_png
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.phantom import PhantomSettings, write_phantoms

STUDY = """
name = "elsewhere"
seed = 3

[phantom]
patients = 20
height_px = 256
width_px = 160

[ingest]
height_px = 192

[extract-patches]
size_px = 32
stride_px = 16

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
epochs = 1
learning_rate = 1e-3

[[arms]]
name = "plain"

[[arms]]
name = "varied"
augmentation.traditional = true

[evaluate]
resamples = 200
heat_maps = 2

[compare-arms]
resamples = 200
curve_resamples = 100

[external]
name = "the clinic"
collection = "table"
source = "clinic/lesions.csv"
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def write_clinic(folder: Path, patient: str = "clinic-{}") -> None:
    """Write practice mammograms of other patients as somebody's own table."""
    phantoms = folder.parent / "made"
    write_phantoms(phantoms, PhantomSettings(patients=8, height_px=256, width_px=160, labels_and_edges=False), seed=11)
    made = ingest(phantoms, folder.parent / "read", IngestSettings(height_px=192))
    folder.mkdir()
    with (folder / "lesions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", "pathology", "mask"])
        for lesion in made.lesions.itertuples():
            image, mask = f"{lesion.mammogram_id}.png", f"mask-{lesion.lesion_id}.png"
            (folder / image).write_bytes(encode_png(made.image(lesion.mammogram_id)))
            (folder / mask).write_bytes(encode_png(made.mask(lesion.lesion_id)))
            table.writerow([image, patient.format(lesion.patient_id), lesion.pathology, mask])


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "lesions.csv").write_text("", encoding="utf-8")
    return tmp_path


def test_each_classifier_is_judged_elsewhere_as_well(clinic: Path) -> None:
    study = read_study(write_study(clinic))
    assert [f"{step.stage.name} {step.out.as_posix()}" for step in study.steps] == [
        "phantom phantoms",
        "ingest mammograms",
        "ingest external/mammograms",
        "extract-patches patches",
        "extract-patches external/patches",
        "train-classifier classifiers/plain",
        "train-classifier classifiers/varied",
        "evaluate evaluations/plain",
        "evaluate evaluations/varied",
        "evaluate evaluations-external/plain",
        "evaluate evaluations-external/varied",
        "compare-arms comparison",
        "compare-arms comparison-external",
        "write-report report",
    ]
    steps = {step.out.as_posix(): step for step in study.steps}
    assert steps["external/patches"].settings == steps["patches"].settings
    own = steps["mammograms"].settings
    assert steps["external/mammograms"].settings == replace(own, collection="table")  # as large in the picture
    asked = steps["evaluations/varied"].settings
    assert steps["evaluations-external/varied"].settings == replace(asked, external="the clinic", split="all")
    assert steps["evaluations-external/varied"].inputs["classifier"] == (Path("classifiers/varied"),)
    assert steps["comparison-external"].inputs["evaluations"] == (
        Path("evaluations-external/plain"),
        Path("evaluations-external/varied"),
    )
    assert steps["comparison"].inputs["evaluations"] == (Path("evaluations/plain"), Path("evaluations/varied"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "the clinic"\n', "", r"\[external\] must have a name, a collection and a source"),
        ('collection = "table"\n', "", r"\[external\] must have a name, a collection and a source"),
        ('collection = "table"', 'collection = "here"', r"\[external\]: .*collection"),
        ("heat_maps = 2", 'external = "x"', r"\[evaluate\]: external is not set here; it follows from \[external\]"),
    ],
)
def test_an_external_source_is_said_in_one_place_and_whole(clinic: Path, old: str, new: str, words: str) -> None:
    assert STUDY.count(old) == 1
    with pytest.raises(SettingsError, match=words):
        read_study(write_study(clinic, STUDY.replace(old, new)))


def test_an_external_source_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\[external\]: the source .*lesions.csv does not exist. It is relative to"):
        read_study(write_study(tmp_path))


def test_a_study_is_judged_elsewhere_from_end_to_end(tmp_path: Path) -> None:
    write_clinic(tmp_path / "clinic")
    done = run_study(write_study(tmp_path), tmp_path / "out")
    here, elsewhere = (done.artifacts[Path(f"evaluations{part}/plain")] for part in ("", "-external"))
    assert isinstance(here, Evaluation)
    assert isinstance(elsewhere, Evaluation)
    assert (here.external, elsewhere.external) == ("", "the clinic")
    assert elsewhere.facts["external_collections"] == ["table"]
    assert elsewhere.facts["learned_collections"] == ["cbis-ddsm"]
    assert elsewhere.facts["external_check"] == "patients, collections and image files"
    mammograms = done.artifacts[Path("external/mammograms")]
    assert isinstance(mammograms, MammogramSet)
    assert mammograms.mammograms["split"].nunique() > 1
    assert set(elsewhere.scores["patient_id"]) == set(mammograms.lesions["patient_id"])  # of every split
    assert elsewhere.temperature is None
    assert elsewhere.facts["temperature_fitted_on"] == "nothing: no patch of an external source is learned from"
    assert elsewhere.has_attention
    compared = done.artifacts[Path("comparison-external")]
    assert isinstance(compared, Comparison)
    assert compared.external == "the clinic"
    assert compared.test_set == elsewhere.test_set != here.test_set


def test_patients_with_the_names_of_others_are_refused(tmp_path: Path) -> None:
    write_clinic(tmp_path / "clinic", patient="{}")
    with pytest.raises(LeakError, match=r"patients of the external source 'the clinic':\n  P_9"):
        run_study(write_study(tmp_path), tmp_path / "out")
