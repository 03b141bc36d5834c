"""Reader studies: human readers rate real and synthetic lesions, and their ratings are analysed.

`make_reader_study` draws the cases, `ReaderStudy` is the file with the cases and the ratings, and `analyse_readers` the
multi-reader multi-case analysis. The page on which readers rate is in `mammofill.web`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
