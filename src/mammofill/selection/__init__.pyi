from .scores import read_scores as read_scores
from .select import select_synthetic as select_synthetic
from .settings import SelectSyntheticSettings as SelectSyntheticSettings
