from .infiller import Infiller as Infiller
from .settings import PRESETS as PRESETS
from .settings import TrainInfillerSettings as TrainInfillerSettings
from .settings import preset as preset
from .train import train_infiller as train_infiller
