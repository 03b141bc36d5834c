from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the studio needs the extra web")

from toy_studio import make_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with patches, pairs and an infiller."""
    return make_folder(tmp_path_factory.mktemp("studio"))
