"""Files whose format, size, spacing or black tells the class of their lesions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import ellipse, film

from mammofill.audit import AuditSettings, audit
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.device_tells_class import FileFacts, class_told

USUAL = FileFacts("", "benign", ".png", 300, 180, 0.07, 0)


def facts(of_malignant: dict[str, object], count: int = 8, wrong: int = 0) -> list[FileFacts]:
    """Return files of as many patients of each class; some malignant ones are like the benign."""
    return [
        replace(USUAL, patient_id=f"{pathology}-{number}", pathology=pathology, **more)  # type: ignore[arg-type]
        for pathology in ("benign", "malignant")
        for number in range(count)
        for more in [of_malignant if pathology == "malignant" and number >= wrong else {}]
    ]


@pytest.mark.parametrize(
    ("of_malignant", "words"),
    [
        ({"format": ".jpg"}, "their format .jpg (AUC 1.00), their format .png (AUC 1.00)"),
        ({"rows": 400}, "their height in pixels (AUC 1.00)"),
        ({"columns": 200}, "their width in pixels (AUC 1.00)"),
        ({"spacing_mm": 0.05}, "their size of pixels (AUC 1.00)"),
        ({"darkest": 3000}, "their darkest value (AUC 1.00)"),
    ],
)
def test_a_fact_of_files_that_tells_the_class_is_told(of_malignant: dict[str, object], words: str) -> None:
    told = class_told(facts(of_malignant))
    assert told is not None
    assert (told.what, told.rule) == ("collection", "class-told-by-device")
    assert told.found == f"Files tell 8 patients with benign lesions from 8 with malignant ones by {words}."
    assert told.done.startswith("Kept as they are: a classifier may learn the device, not the lesion.")


def test_few_patients_or_devices_of_both_classes_are_not_told() -> None:
    assert class_told(facts({"rows": 400}, count=7)) is None
    assert class_told(facts({"rows": 400}, count=20, wrong=3)) is None
    assert class_told(facts({})) is None
    assert class_told(facts({"spacing_mm": None})) is None  # of some nobody says it


def test_sizes_that_differ_from_picture_to_picture_tell_nothing() -> None:
    random = np.random.default_rng(0)
    varied = [replace(one, rows=int(random.integers(200, 900))) for one in facts({}, count=50)]
    assert class_told(varied) is None


def test_a_patient_has_the_worst_class_of_her_lesions() -> None:
    both = [replace(one, patient_id=f"benign-{number}") for number, one in enumerate(facts({"rows": 400})[8:])]
    assert class_told([*facts({}), *both]) is None  # she who has both is malignant, and no benign patient is left


def test_ingest_warns_of_it_and_audit_finds_it(tmp_path: Path) -> None:
    rows = ["image,mask,patient,pathology"]
    for number in range(16):
        size, kind = ((300, 180), "benign") if number % 2 else ((360, 220), "malignant")
        cv2.imwrite(str(tmp_path / f"{number}.png"), film(number, *size))
        mask = ellipse((60 + 5 * number, 40, 40, 30), size)
        cv2.imwrite(str(tmp_path / f"m{number}.png"), mask.astype(np.uint8) * 255)
        rows.append(f"{number}.png,m{number}.png,p{number},{kind}")
    (tmp_path / "own.csv").write_text("\n".join(rows))
    found = ingest(tmp_path, tmp_path / "out", IngestSettings(collection="table")).decisions
    (story,) = found.loc[found["rule"] == "class-told-by-device", "found"]
    assert "by their height in pixels (AUC 1.00), their width in pixels (AUC 1.00)" in story
    (finding,) = [
        one for one in audit(tmp_path, AuditSettings(collection="table")).found if one.finding == "class-told-by-device"
    ]
    assert finding.cases[0].words.startswith(story)
