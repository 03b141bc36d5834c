"""Evaluation: scores on one frozen test set, measures with intervals that resample patients, and the leak guard.

`Evaluation` is the artifact, `evaluate` the stage, `EvaluateSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
