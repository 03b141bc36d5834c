from .analyse import analyse_readers as analyse_readers
from .make import make_reader_study as make_reader_study
from .settings import ReaderStudySettings as ReaderStudySettings
from .study import ReaderStudy as ReaderStudy
