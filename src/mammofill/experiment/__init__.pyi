from .run import StudyRun as StudyRun
from .run import run_study as run_study
from .settings import read_settings as read_settings
from .stages import STAGES as STAGES
from .stages import Stage as Stage
from .stages import stage_named as stage_named
from .study import Study as Study
from .study import read_study as read_study
