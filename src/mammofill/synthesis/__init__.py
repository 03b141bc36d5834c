"""Synthesis: an infiller and pairs make a patch set of synthetic lesions.

`synthesize` is the stage, `SynthesizeSettings` its settings. What it makes is a `PatchSet` like any other.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
