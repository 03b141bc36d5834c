"""An external test set: what makes it one, and in which words it is refused where it is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd
import pytest

from mammofill.classifier import Classifier
from mammofill.evaluation import EvaluateSettings
from mammofill.evaluation.evaluate import check_no_leak
from mammofill.evaluation.external import check_external
from mammofill.ground.artifact import Artifact, LearnedFrom, begin
from mammofill.ground.errors import DamagedError, LeakError, SettingsError
from mammofill.patches import PatchSet


@dataclass(frozen=True)
class Toy:
    collection: str = ""


def mammograms(
    folder: Path, source: Path, collection: str, files: list[str], attributes: Path | None = None
) -> Artifact:
    source.mkdir(exist_ok=True)
    inputs = {"source": source} | ({"attributes": attributes} if attributes else {})
    with begin(folder, kind="mammograms", stage="ingest", settings=Toy(collection), seed=0, inputs=inputs) as work:
        assert work is not None
        pd.DataFrame({"source_sha256": [*files, None]}).to_parquet(work.folder / "mammograms.parquet")
        work.finish({})
    return opened(folder, "mammograms")


def made_from(folder: Path, kind: str, *inputs: Artifact) -> Artifact:
    with begin(folder, kind=kind, stage="toy", settings=Toy(), seed=0, inputs={"from": list(inputs)}) as work:
        assert work is not None
        (work.folder / "name.txt").write_text(folder.name)
        work.finish({}, [LearnedFrom("train-classifier", ("P1",))] if kind == "classifier" else ())
    return opened(folder, kind)


def opened(folder: Path, name: str) -> Artifact:
    class Any(Artifact):
        kind = name

    return Any.open(folder)


def check(own: Artifact, other: Artifact, folder: Path) -> dict[str, object]:
    classifier = made_from(folder / "classifier", "classifier", made_from(folder / "patches", "patches", own))
    patches = made_from(folder / "elsewhere", "patches", other)
    return check_external(cast(Classifier, classifier), cast(PatchSet, patches), "clinic")


def test_another_source_is_told_by_name(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "ddsm", "cbis-ddsm", ["a", "b"])
    other = mammograms(tmp_path / "other", tmp_path / "table", "table", ["c"])
    assert check(own, other, tmp_path) == {
        "external": "clinic",
        "external_collections": ["table"],
        "learned_collections": ["cbis-ddsm"],
        "external_check": "patients, collections and image files",
    }


def test_two_tables_are_two_sources(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "here", "table", ["a", "b"])
    other = mammograms(tmp_path / "other", tmp_path / "there", "table", ["c"])
    assert check(own, other, tmp_path)["learned_collections"] == ["table"]


@pytest.mark.parametrize(
    ("source", "collection", "files", "words"),
    [
        ("here", "table", ["c"], r"both were read from .*here\. Take mammograms of another source"),
        ("there", "cbis-ddsm", ["c"], r"both are cbis-ddsm\. Take"),
        ("there", "table", ["b", "c"], r"1 image file is the same, to the bit\. Take"),
    ],
)
def test_what_is_not_external_is_refused(
    tmp_path: Path, source: str, collection: str, files: list[str], words: str
) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "here", "cbis-ddsm", ["a", "b"])
    other = mammograms(tmp_path / "other", tmp_path / source, collection, files)
    with pytest.raises(LeakError, match=f"The external test set 'clinic' .*other.* is not external to .*{words}"):
        check(own, other, tmp_path)


def test_one_table_of_attributes_makes_no_two_sources_one(tmp_path: Path) -> None:
    attributes = tmp_path / "attributes.csv"
    attributes.write_text("file,shape\n")
    own = mammograms(tmp_path / "own", tmp_path / "train", "table", ["a"], attributes)
    other = mammograms(tmp_path / "other", tmp_path / "test", "table", ["b"], attributes)
    assert check(own, other, tmp_path)["external_check"] == "patients, collections and image files"


def test_the_same_mammograms_are_refused(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "here", "table", ["a"])
    with pytest.raises(LeakError, match="learned from the same set of mammograms"):
        check(own, own, tmp_path)


def test_a_table_that_was_changed_proves_nothing(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "ddsm", "cbis-ddsm", ["a"])
    other = mammograms(tmp_path / "other", tmp_path / "elsewhere", "table", ["a"])
    pd.DataFrame({"source_sha256": ["b", None]}).to_parquet(tmp_path / "other" / "mammograms.parquet")
    with pytest.raises(DamagedError, match=r"other/mammograms.parquet was changed after it was finished"):
        check(own, other, tmp_path / "made")


def test_what_could_not_be_compared_is_said(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", tmp_path / "here", "table", ["a"])
    other = mammograms(tmp_path / "other", tmp_path / "there", "table", ["b"])
    classifier = made_from(tmp_path / "classifier", "classifier", made_from(tmp_path / "patches", "patches", own))
    patches = made_from(tmp_path / "elsewhere", "patches", other)
    own.folder.rename(tmp_path / "moved")
    found = check_external(cast(Classifier, classifier), cast(PatchSet, patches), "clinic")
    assert found["learned_collections"] == []
    assert str(found["external_check"]).startswith("patients alone: the mammograms behind")
    assert str(classifier.folder) in str(found["external_check"])


def test_patients_of_the_same_name_are_refused_with_advice(tmp_path: Path) -> None:
    classifier = cast(Classifier, made_from(tmp_path / "classifier", "classifier"))
    patches = made_from(tmp_path / "patches", "patches")
    test = pd.DataFrame({"patient_id": ["P1", "P2"]})
    with pytest.raises(LeakError, match=r"1 patient of the external source 'clinic':\n  P1: through train") as caught:
        check_no_leak(classifier, cast(PatchSet, patches), test, "all", "clinic")
    assert "different patients with the same identifiers" in str(caught.value)


def test_all_splits_test_only_where_nobody_learned() -> None:
    assert EvaluateSettings(split="all", external="clinic").split == "all"
    with pytest.raises(SettingsError, match="split must be train, validation or test unless external names another"):
        EvaluateSettings(split="all")
