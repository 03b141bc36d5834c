"""Mammograms: a collection's files and tables are converted to one consistent set, with a split by patient.

`MammogramSet` is the artifact, `ingest` the stage, `IngestSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
