"""Losses and previews as TensorBoard shows them, if that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mammofill.ground.errors import SettingsError
from mammofill.ground.imaging import decode_png


def check_tensorboard(folder: str | None) -> None:
    """Refuse TensorBoard where it is not installed, before anything is begun.

    Raises:
        SettingsError: TensorBoard is wanted and not installed.
    """
    if folder is not None and find_spec("tensorboard") is None:
        raise SettingsError('The setting tensorboard needs its package: pip install "mammofill[tensorboard]".')


class TensorBoard:
    """TensorBoard's folder; without a folder, nothing is written.

    Args:
        folder: where; None where none is wanted.
        images_seen: what an earlier, stopped run showed after this is shown again, in its place.
    """

    def __init__(self, folder: str | None, images_seen: int) -> None:
        self.writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(folder, purge_step=images_seen + 1 if images_seen else None)

    def add_numbers(self, row: Mapping[str, float], images_seen: int) -> None:
        """Add a row of the history; ``a.b`` becomes ``a/b``, which TensorBoard groups."""
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name.replace(".", "/"), value, images_seen)

    def add_picture(self, picture: bytes, images_seen: int) -> None:
        """Add a preview, an encoded PNG."""
        if self.writer is not None:
            self.writer.add_image("fills", decode_png(picture), images_seen, dataformats="HW")
            self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()
