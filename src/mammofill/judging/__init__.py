"""Judging: measured proof that an infiller paints lesions of the requested class, at the requested place, and no more.

`Judgement` is the artifact, `judge_infiller` the stage, `JudgeInfillerSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
