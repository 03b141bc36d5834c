"""Audit: what is wrong with a collection of mammograms, what it would do to a study, and what ingest does about it.

`audit` looks, `AuditSettings` say how closely, `Audit` is what was found; `write_audit` makes a page of it and
`summarise` a few lines. Nothing is decided here, and the collection is only read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
