"""Infilling: the conditional infilling GAN that paints a benign or malignant lesion where a mask says.

`Infiller` is the artifact, `train_infiller` the stage, `TrainInfillerSettings` its settings; `preset` returns settings
by name (`PRESETS` holds them all).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
