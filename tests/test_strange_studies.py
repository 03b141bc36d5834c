"""Study files of nonsense: refused by name, at once, before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

import mammofill
from mammofill.experiment.study import read_study
from mammofill.ground.errors import MammofillError, SettingsError, SourceError

DEMO = Path(mammofill.__file__).with_name("demo.toml").read_text()
ARM = 'name = "shallow CNN"\n'


def refusal(folder: Path, text: str, kind: type[MammofillError] = SettingsError) -> str:
    """Return what reading a study file says."""
    (folder / "study.toml").write_text(text)
    with pytest.raises(kind) as caught:
        read_study(folder / "study.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("grid", "times"),
    [("infillers = 99999999999999999999", "99,999,999,999,999,999,999"), ("classifiers = 100000000", "100,000,000"),
     ("folds = 1000\nfold_repeats = 1000", "1,000,000"), ("infillers = 9000\nreal_shares = [0.5, 1]", "18,000")],
)  # fmt: skip
def test_a_grid_beyond_all_time_is_refused_and_not_laid_out(tmp_path: Path, grid: str, times: str) -> None:
    said = refusal(tmp_path, f"{DEMO}\n[grid]\n{grid}\n")
    assert f"each arm is trained at most 10,000 times in all (it would be {times} times)" in said


@pytest.mark.parametrize("key", ["[{}a]\nb = 1", "{}a = 1"])
def test_a_key_of_parts_without_end_is_refused_and_not_taken_apart(tmp_path: Path, key: str) -> None:
    said = refusal(tmp_path, f"{DEMO}\n{key.format('a.' * 50_000)}\n")
    assert f"line {len(DEMO.splitlines()) + 2} has 50,000 dots, and may have 10,000. Is it a study file?" in said


def test_an_infinite_dose_is_refused(tmp_path: Path) -> None:
    without_ratio = DEMO.replace("ratio = 0.5", "")
    assert "doses must be different numbers above 0" in refusal(
        tmp_path, f"{without_ratio}\n[grid]\ndoses = [1, inf]\n"
    )


@pytest.mark.parametrize("name", ["a\\nb", "a\\u0000b", "a\\u202eb", "a\\u200bb"])
def test_names_of_invisible_characters_are_refused(tmp_path: Path, name: str) -> None:
    assert "must have a name of visible characters" in refusal(tmp_path, DEMO.replace(ARM, f'name = "{name}"\n'))
    study = DEMO.replace("name = ", f'name = "{name}" #', 1)
    assert "must have a name of visible characters" in refusal(tmp_path, study)


def test_a_name_without_end_and_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    long = refusal(tmp_path, DEMO.replace(ARM, f'name = "{"x" * 5000}"\n'))
    assert "number 2 must have a name of at most 200 characters, but has one of 5,000" in long
    twice = DEMO.replace(ARM, 'name = "\u00c4rm"\n').replace('"shallow CNN + traditional"', '"A\u0308rm"')
    assert "look the same in a report. Give them other names" in refusal(tmp_path, twice)


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("5", SettingsError, "must name a file or folder, as a text in quotes, but has 5"),
        ("true", SettingsError, "must name a file or folder, as a text in quotes, but has True"),
        ("2026-01-01", SettingsError, "must name a file or folder, as a text in quotes"),
        ('""', SettingsError, "must name a file or folder, as a text in quotes, but has ''"),
        (r'"a\u0000b"', SourceError, "does not exist. It is relative to the study file."),
        (f'"{"x" * 5000}"', SourceError, "x... does not exist. It is relative to the study file."),
        ('"~/x"', SourceError, "Write the folder out: ~, $ and % are not understood here."),
        ('"$HOME/x"', SourceError, "Write the folder out: ~, $ and % are not understood here."),
    ],
)
@pytest.mark.parametrize("key", ["source", "attributes"])
def test_sources_that_are_no_paths(
    tmp_path: Path, source: str, kind: type[MammofillError], said: str, key: str
) -> None:
    given = f"{key} = {source}" if key == "source" else f'source = "."\nattributes = {source}'
    assert said in refusal(tmp_path, f'name = "x"\n[ingest]\ncollection = "table"\n{given}\n', kind)


def test_the_mark_of_windows_editor_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbf" + DEMO.encode())
    assert read_study(tmp_path / "study.toml").name == "Demo on practice mammograms"
