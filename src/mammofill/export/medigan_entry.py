"""Paint synthetic breast lesions with the infiller that lies in this folder.

This file is the ``__init__.py`` of a package in the layout of medigan: `generate` is what it calls. It needs mammofill.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_CLASSES = ("benign", "malignant")
_MASK = "_mask.png"
_AT_ONCE = 64
"""Fills that are painted together, at most."""
_further_seeds = count()


def generate(
    model_file: str,
    num_samples: int,
    output_path: str,
    save_images: bool,
    input_path: str | None = None,
    pathology: str = "both",
    seed: int | None = None,
    gpu_id: int | None = None,
) -> list[NDArray[np.uint16]] | None:
    """Paint lesions into patches of healthy breast.

    Args:
        model_file: the weights file of this package; the rest is read from its folder.
        num_samples: how many fills. Their seeds follow each other; by them patches and classes are taken in turn.
        output_path: folder for the fills and their lesion masks, as PNG.
        save_images: write files; without it, the fills are returned.
        input_path: folder with ``NAME.png`` (gray, 8 or 16 bits, of the infiller's size) and ``NAME_mask.png`` (white
            where a lesion is wanted); the examples of this package where left out.
        pathology: benign, malignant, or both in turn.
        seed: of the first fill. Left out, seeds go on from 0 for as long as this process runs: medigan asks for many
            samples in several calls of the same arguments, which must not paint the same ones again.
        gpu_id: number of the GPU; without it the first where there is one, else the processor.

    Returns:
        The fills, (H, W) uint16 each, unless they were written.

    Raises:
        FileNotFoundError: there is no patch with a mask.
        mammofill.ground.errors.MammofillError: patches of another size, or a hole that leaves its patch.
    """
    infiller = _infiller(str(Path(model_file).resolve().parent))
    pairs = _patches(Path(input_path) if input_path else Path(model_file).resolve().parent / "images")
    classes = _CLASSES if pathology == "both" else (pathology,)
    device = _device(gpu_id)
    _log.debug("painting %d lesions on %s", num_samples, device)
    seeds = [next(_further_seeds) if seed is None else seed + number for number in range(num_samples)]
    made = []
    for start in range(0, num_samples, _AT_ONCE):
        some = seeds[start : start + _AT_ONCE]
        images, masks = (np.stack(each) for each in zip(*(pairs[one % len(pairs)] for one in some), strict=True))
        words = [classes[one // len(pairs) % len(classes)] for one in some]
        fills = infiller.infill(images, masks, words, some, device=device)
        if not save_images:
            made += list(fills)
            continue
        for one, word, fill, lesion in zip(some, words, fills, infiller.masks_of_fills(masks), strict=True):
            _save(Path(output_path), f"{one:08d}_{word}", fill, lesion)
    return None if save_images else made


@lru_cache(maxsize=2)
def _infiller(folder: str) -> Any:
    """Open the infiller once, however often it is called."""
    from mammofill.infilling import Infiller

    return Infiller.open(folder)


def _device(gpu_id: int | None) -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{gpu_id}" if gpu_id is not None else "cuda"


def _patches(folder: Path) -> list[tuple[NDArray[np.uint16], NDArray[np.bool_]]]:
    from mammofill.ground.imaging import decode_png

    found = []
    for path in sorted(folder.glob(f"*{_MASK}")):
        image = decode_png((folder / f"{path.name.removesuffix(_MASK)}.png").read_bytes())
        wide = image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)
        found.append((np.asarray(wide, np.uint16), np.asarray(decode_png(path.read_bytes()) > 0, np.bool_)))
    if not found:
        raise FileNotFoundError(f"{folder} holds no patch with a mask: NAME.png and NAME{_MASK} are needed.")
    return found


def _save(folder: Path, name: str, fill: NDArray[np.uint16], lesion: NDArray[np.bool_]) -> None:
    from mammofill.ground.imaging import encode_png

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(encode_png(fill))
    (folder / f"{name}{_MASK}").write_bytes(encode_png(lesion))
