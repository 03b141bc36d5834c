"""Classifiers: networks that distinguish malignant lesion patches from benign ones.

`Classifier` is the artifact, `train_classifier` the stage, `TrainClassifierSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
