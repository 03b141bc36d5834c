from .classifier import Classifier as Classifier
from .settings import PRESETS as PRESETS
from .settings import AugmentationSettings as AugmentationSettings
from .settings import TrainClassifierSettings as TrainClassifierSettings
from .settings import preset as preset
from .train import THRESHOLD_ALONE as THRESHOLD_ALONE
from .train import train_classifier as train_classifier
