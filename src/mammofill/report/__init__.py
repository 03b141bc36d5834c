"""Report: one page that compares evaluations and shows what they came from.

`Report` is the artifact, `write_report` the stage, `WriteReportSettings` its settings; `format_table` gives the main
table as plain text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
