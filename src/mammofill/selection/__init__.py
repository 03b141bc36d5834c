"""Selection: which synthetic patches may be learned from.

`select_synthetic` is the stage, `SelectSyntheticSettings` its settings. What it makes is a `PatchSet` like any other,
with the scores of every fill, kept or not, beside it (`read_scores`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
