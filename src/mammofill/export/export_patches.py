"""The stage that exports synthetic patches as a data set with a card."""

from __future__ import annotations

import shutil
from pathlib import Path

from mammofill.export.cards import dataset_card
from mammofill.export.patch_package import PatchPackage
from mammofill.export.settings import ExportPatchesSettings
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.errors import ArtifactError
from mammofill.ground.progress import Progress, quiet
from mammofill.patches import PatchSet


def export_patches(
    patches: PatchSet,
    out: str | Path,
    settings: ExportPatchesSettings = ExportPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> PatchPackage:
    """Copy a set of synthetic patches and write its card.

    Args:
        patches: all of origin ``synthetic``.
        out: folder of the data set.
        settings: title, creator, licence.
        seed: decides nothing; stages have one.
        progress: notified of each file.

    Raises:
        ArtifactError: a patch of the set is real, or there is none.
    """
    real = len(patches.table) - len(patches.rows(origin="synthetic"))
    if real or not len(patches.table):
        found = f"{real} of {len(patches.table)} patches are real" if real else "there is no patch"
        raise ArtifactError(
            f"{patches.folder}: {found}; only sets of synthetic patches are exported. Give a set that synthesize made."
        )
    with begin(
        out, kind=PatchPackage.kind, stage="export-patches", settings=settings, seed=seed, inputs={"patches": patches}
    ) as work:
        if work is not None:
            (work.folder / "data").mkdir(exist_ok=True)
            with progress.task("copying patches", len(patches.shards)) as task:
                for shard in patches.shards:
                    shutil.copyfile(shard, work.folder / "data" / shard.name)
                    task.advance()
            write_atomically(work.folder / "README.md", dataset_card(patches, settings))
            work.finish({"patches": len(patches.table)})
    return PatchPackage.open(out)
