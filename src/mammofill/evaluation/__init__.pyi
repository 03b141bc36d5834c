from .evaluate import evaluate as evaluate
from .evaluation import Evaluation as Evaluation
from .evaluation import paired_difference as paired_difference
from .metrics import MEASURES as MEASURES
from .metrics import roc_curve as roc_curve
from .pool import pool_folds as pool_folds
from .settings import EvaluateSettings as EvaluateSettings
from .settings import PoolFoldsSettings as PoolFoldsSettings
