from .classifier import Classifier as Classifier
from .settings import AugmentationSettings as AugmentationSettings
from .settings import TrainClassifierSettings as TrainClassifierSettings
from .train import train_classifier as train_classifier
