from .by_hand import HandFill as HandFill
from .by_hand import PaintByHandSettings as PaintByHandSettings
from .by_hand import hole_for as hole_for
from .by_hand import keep_painted as keep_painted
from .by_hand import paint_by_hand as paint_by_hand
from .by_hand import refusal as refusal
from .fill import synthesize as synthesize
from .settings import SynthesizeSettings as SynthesizeSettings
