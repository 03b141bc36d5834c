"""Infilling: painting a benign or malignant lesion where a mask says, by any of several methods.

`Infiller` is the artifact, `train_infiller` the stage, `InfillerSettings` what the settings of all methods share;
`preset` returns settings by name (`PRESETS` holds them all).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
