from .fill import synthesize as synthesize
from .settings import SynthesizeSettings as SynthesizeSettings
