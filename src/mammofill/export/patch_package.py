"""PatchPackage: synthetic patches as a data set that others can load, with a card.

On disk::

    data/patches-00000.parquet, ...    the patches: columns as in a patch set, pictures as Hugging Face images
    README.md                          dataset card
"""

from __future__ import annotations

from typing import ClassVar

from mammofill.ground.artifact import Artifact


class PatchPackage(Artifact):
    """Synthetic patches with a dataset card. See the module for the files."""

    kind: ClassVar[str] = "patch-package"

    @property
    def card(self) -> str:
        """The dataset card, Markdown."""
        return (self.folder / "README.md").read_text(encoding="utf-8")
