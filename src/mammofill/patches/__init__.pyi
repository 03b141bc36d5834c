from .extract import extract_patches as extract_patches
from .patch_set import PatchSet as PatchSet
from .patch_set import write_index as write_index
from .patch_set import write_shard as write_shard
from .select import select_patches as select_patches
from .settings import ExtractPatchesSettings as ExtractPatchesSettings
from .settings import SelectPatchesSettings as SelectPatchesSettings
