"""Audit: the faults of a collection of mammograms, their consequences for a study, and what ingest does about them.

`audit` examines a collection as `AuditSettings` specify and returns an `Audit`; `write_audit` writes it as a page, and
`summarise` as lines of text. Nothing is decided here, and the collection is only read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
