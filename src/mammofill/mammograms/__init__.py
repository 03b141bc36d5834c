"""Mammograms: from a public collection's files and tables to one clean set, with the split decided by patient.

`MammogramSet` is the artifact, `ingest` the stage, `IngestSettings` its settings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
