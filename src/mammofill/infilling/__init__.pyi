from .gan.settings import GanSettings as GanSettings
from .infiller import Infiller as Infiller
from .presets import PRESETS as PRESETS
from .presets import preset as preset
from .settings import InfillerSettings as InfillerSettings
from .train import train_infiller as train_infiller
