"""Experiment: the table of stages, and whole studies run from one readable file.

The only room that knows the order of the stages. `STAGES` is the table; `read_study` reads a study file and checks
all of it, `run_study` runs it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
