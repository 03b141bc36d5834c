from .settings import SynthesizeSettings as SynthesizeSettings
from .fill import synthesize as synthesize
