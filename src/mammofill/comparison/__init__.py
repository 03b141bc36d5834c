"""Comparison: the arms of a study against each other on one test set, over patients and training, and what was shown.

`Comparison` is the artifact, `compare_arms` the stage, `CompareArmsSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
