"""What this machine has: trained weights that were downloaded before, and room on its disk."""

from __future__ import annotations

import os
from pathlib import Path


def weights_folder() -> Path:
    """Return the folder in which torchvision keeps what it downloads. Source: `torch.hub.get_dir`, without torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # which never raises
    return Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"


def kept_weights(network: str) -> Path | None:
    """Return the weights of one of torchvision's networks that were downloaded before; None where there are none."""
    return next(iter(sorted(weights_folder().glob(f"{network}-*.pth"))), None)
