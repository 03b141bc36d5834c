from .judge import judge_infiller as judge_infiller
from .judgement import Judgement as Judgement
from .settings import JudgeInfillerSettings as JudgeInfillerSettings
from .settings import TrainOnFillsSettings as TrainOnFillsSettings
from .settings import WantedSettings as WantedSettings
