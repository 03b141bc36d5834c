"""A small collection and patches painted into it, each made once."""

from __future__ import annotations

import pytest
from painted import SIZE, infiller_like, painted

from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches
from mammofill.phantom import PhantomSettings, write_phantoms


@pytest.fixture(scope="session")
def mammograms(tmp_path_factory: pytest.TempPathFactory) -> MammogramSet:
    """Mammograms of 12 bits, brought to less than half their height; some have low values bright."""
    folder = tmp_path_factory.mktemp("export")
    settings = PhantomSettings(patients=4, height_px=300, width_px=200, bits=12, monochrome1_share=0.5, test_share=0.25)
    write_phantoms(folder / "phantoms", settings, seed=5)
    return ingest(folder / "phantoms", folder / "mammograms", IngestSettings(height_px=132))


@pytest.fixture(scope="session")
def fills(mammograms: MammogramSet) -> PatchSet:
    """Two fills of a flow in each of three mammograms, the second over the first."""
    folder = mammograms.folder.parent
    patches = extract_patches(
        mammograms, folder / "patches", ExtractPatchesSettings(size_px=SIZE, stride_px=8, normal_margin_px=0)
    )
    train = patches.table.iloc[patches.rows(split="train", pathology="normal")]
    rows = train.groupby("mammogram_id").head(1).index[:3].repeat(2)
    return painted(patches, rows, folder / "fills", infiller=infiller_like(folder / "flow", "flow"))
