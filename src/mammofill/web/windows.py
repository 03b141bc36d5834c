"""Windows of mammograms that were chosen on the page, with a cache of the last ones."""

from __future__ import annotations

from collections import OrderedDict

from mammofill.mammograms import MammogramSet
from mammofill.patches import ExtractPatchesSettings, Patch, Place, cut_patch

_KEPT = 16


class Windows:
    """Cuts windows and caches the last `_KEPT`."""

    def __init__(self) -> None:
        self._cut: OrderedDict[tuple[str, Place, ExtractPatchesSettings], Patch] = OrderedDict()

    def cut(self, mammograms: MammogramSet, place: Place, settings: ExtractPatchesSettings) -> Patch:
        """Return one window; see `cut_patch` for the errors."""
        key = (mammograms.fingerprint, place, settings)
        if key not in self._cut:
            self._cut[key] = cut_patch(mammograms, place, settings)
            while len(self._cut) > _KEPT:
                self._cut.popitem(last=False)
        self._cut.move_to_end(key)
        return self._cut[key]


def around(row: int, column: int, size: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Return top and left of the window around a pixel, moved into the mammogram if it would leave it."""
    top, left = (
        max(0, min(middle - size // 2, side - size)) for middle, side in zip((row, column), shape, strict=True)
    )
    return top, left
