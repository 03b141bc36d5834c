"""What is said of a path where a file is needed and none is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mammofill.experiment.settings import read_toml
from mammofill.experiment.stages import stage_named
from mammofill.ground.artifact import begin
from mammofill.ground.errors import MammofillError, SettingsError, SourceError
from mammofill.ground.file_names import why_no_file
from mammofill.mammograms import IngestSettings, ingest


def test_what_lies_there_instead_of_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    os.mkfifo("pipe")
    Path("lost").symlink_to("nowhere")
    Path("round").symlink_to("round")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        told = {name: why_no_file(Path(name)) for name in ("pipe", "socket", ".", "lost", "round", "nothing", "a\0b")}
    assert told == {
        "pipe": "is not a regular file but a named pipe",
        "socket": "is not a regular file but a socket",
        ".": "is not a regular file but a folder",
        "lost": "is a link to nowhere, which does not exist",
        "round": "is a link that leads in a circle",
        "nothing": "does not exist",
        "a\0b": "does not exist",
    }
    assert why_no_file(Path("/dev/null")) == "is not a regular file but a device"


def test_a_pipe_given_as_a_collection_or_as_settings_is_called_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe is not a folder or a file but a named pipe"):
        stage_named("ingest").inputs[0].open(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe is not a folder or a file but a named pipe"):
        ingest(tmp_path / "pipe", tmp_path / "set", IngestSettings(collection="table"))
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(SourceError, match="round is a link that leads in a circle. Give the folder"):
        stage_named("ingest").inputs[0].open(tmp_path / "round")
    with pytest.raises(SettingsError, match="pipe is not a regular file but a named pipe. Give the path of a TOML"):
        read_toml(tmp_path / "pipe")
    making = begin(tmp_path / "out", kind="x", stage="x", settings=IngestSettings(collection="table"), seed=0,
                   inputs={"weights": tmp_path / "pipe"})  # fmt: skip
    with pytest.raises(MammofillError, match=r"pipe \(weights\) is not a regular file but a named pipe"), making:
        pass
