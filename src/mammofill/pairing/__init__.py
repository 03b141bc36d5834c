"""Pairing: each normal patch with a lesion patch whose mask it borrows.

`Pairs` is the artifact, `pair_patches` the stage, `PairPatchesSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
