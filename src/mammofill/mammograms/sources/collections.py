"""The readers of all collections, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.cbis_ddsm import read_cbis_ddsm
from mammofill.mammograms.sources.cdd_cesm import read_cdd_cesm
from mammofill.mammograms.sources.cmmd import read_cmmd
from mammofill.mammograms.sources.inbreast import read_inbreast
from mammofill.mammograms.sources.mini_mias import read_mini_mias
from mammofill.mammograms.sources.table import read_table
from mammofill.mammograms.sources.vindr_mammo import read_vindr_mammo

COLLECTIONS: dict[str, Callable[[Path, IngestSettings], Collection]] = {
    "cbis-ddsm": read_cbis_ddsm,
    "inbreast": read_inbreast,
    "cdd-cesm": read_cdd_cesm,
    "vindr-mammo": read_vindr_mammo,
    "cmmd": read_cmmd,
    "mini-mias": read_mini_mias,
    "table": read_table,
}
"""The readers, by the name of their collection. A new collection is a module in `sources` and a row here."""


def read_collection(source: Path, settings: IngestSettings) -> Collection:
    """Read the tables of a collection and find its files; no pixel is read.

    Args:
        source: folder (or table) of the collection.
        settings: which collection, and which abnormalities.

    Raises:
        SourceError: the tables are missing, or cannot be read.
    """
    return COLLECTIONS[settings.collection](source, settings)
