"""Patches: windows cut from mammograms and labelled from the lesion masks.

`PatchSet` is the artifact (synthetic patches are kept in one, too), `extract_patches` the stage,
`ExtractPatchesSettings` its settings. `select_patches` is a stage that keeps a share of the patients to learn from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
