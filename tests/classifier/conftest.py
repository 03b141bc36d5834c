from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_classifier import make_set, real_rows

from mammofill.patches.patch_set import PatchSet


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    """12 benign and malignant patches to train on, 6 to validate, 6 to test; normal ones among them."""
    return make_set(tmp_path_factory.mktemp("real") / "patches", real_rows())


@pytest.fixture
def patch_set(tmp_path: Path) -> Callable[..., PatchSet]:
    def make(rows: Iterable[Mapping[str, Any]], name: str = "patches", **more: Any) -> PatchSet:
        return make_set(tmp_path / name, rows, **more)

    return make


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
