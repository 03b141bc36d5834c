from .pair import pair_patches as pair_patches
from .pairs import Pairs as Pairs
from .pairs import borrowed_mask as borrowed_mask
from .settings import PairPatchesSettings as PairPatchesSettings
