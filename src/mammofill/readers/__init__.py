"""Reader studies: real and synthetic lesions before people who rate them, and what their ratings say.

`make_reader_study` draws the cases, `ReaderStudy` is the file that holds them and the ratings, `analyse_readers` the
multi-reader multi-case analysis. The page on which readers rate is `mammofill.web`'s.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
