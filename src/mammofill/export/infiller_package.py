"""InfillerPackage: an infiller as others can use it, with a card that says what it is and what it is not.

On disk::

    <name>/                 the package: to be zipped, uploaded, or used as it lies
        __init__.py         `generate`, as medigan calls it
        README.md           model card
        LICENSE             to be filled in, where no licence was named
        artifact.json       what it was made from; with the next three an infiller that mammofill opens
        network.json
        weights.safetensors
        history.csv         losses over the training
        images/             two practice patches with masks, drawn by a program: no patient's
    medigan.json            the entry for medigan's global.json
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mammofill.ground.artifact import Artifact
from mammofill.infilling import Infiller


class InfillerPackage(Artifact):
    """An infiller as a package with a model card. See the module for the files."""

    kind: ClassVar[str] = "infiller-package"

    @property
    def package(self) -> Path:
        """The folder to pass on."""
        return next(path.parent for path in sorted(self.folder.glob("*/__init__.py")))

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.package / "README.md").read_text(encoding="utf-8")

    def infiller(self) -> Infiller:
        """Open the infiller in it."""
        return Infiller.open(self.package)
