from .analyse import analyse_readers as analyse_readers
from .make import make_reader_study as make_reader_study
from .pairs import PairStudy as PairStudy
from .pairs import analyse_pairs as analyse_pairs
from .pairs import open_study as open_study
from .settings import ReaderStudySettings as ReaderStudySettings
from .study import ReaderStudy as ReaderStudy
