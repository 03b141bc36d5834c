from .evaluate import evaluate as evaluate
from .evaluation import Evaluation as Evaluation
from .evaluation import paired_difference as paired_difference
from .metrics import MEASURES as MEASURES
from .metrics import roc_curve as roc_curve
from .settings import EvaluateSettings as EvaluateSettings
