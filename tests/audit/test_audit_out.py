"""Where the page of an audit may go is settled before the collection is looked through."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammofill.audit.write import check_out
from mammofill.ground.errors import SettingsError


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/page"])
def test_a_page_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path, out: str) -> None:
    (tmp_path / "cbis").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SettingsError, match=r"cannot be a folder: .*notes.txt is a file"):
        check_out(tmp_path / out, tmp_path / "cbis")
    check_out(tmp_path / "audit" / "new", tmp_path / "cbis")
    assert not (tmp_path / "audit").exists()
