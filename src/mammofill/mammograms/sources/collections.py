"""The readers of all collections, by name: one row each.

A further collection is a module with a reader and a row in `COLLECTIONS`; or, from outside of this package, an entry
point of the group ``mammofill.collections`` that names such a row (CONTRIBUTING.md shows one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mammofill.ground.errors import MammofillError, SettingsError, SourceError
from mammofill.ground.processes import RUN_AGAIN, Child, ChildDiedError, Limits
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources import cbis_ddsm, cdd_cesm, cmmd, inbreast, mini_mias, table, vindr_mammo
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.attributes import with_attributes
from mammofill.mammograms.sources.identifiers import with_names_of_files, without_names_of_no_text
from mammofill.mammograms.sources.patients import one_person_each
from mammofill.mammograms.sources.shared_masks import without_shared_masks

GROUP = "mammofill.collections"
"""Group of the entry points by which other packages add collections."""


@dataclass(frozen=True)
class CollectionReader:
    """How one collection is read."""

    read: Callable[[Path, IngestSettings], Collection]
    """Takes the folder (or table) of the collection, and reads its tables. Raises `SourceError` where they are missing
    or cannot be read."""
    recognises: Callable[[Path], bool] = lambda source: False
    """Says whether a folder or a table is of this collection, by names and first lines alone."""
    places_lesions: bool = True
    """Whether it gives the place of any lesion."""
    opened: tuple[str, ...] = ()
    """Endings of the files that `read` opens, in lower case: of a collection in a store they are fetched first, and all
    others are known by name alone. None where it opens images too, so that it cannot read from a store."""


COLLECTIONS: dict[str, CollectionReader] = {
    "cbis-ddsm": CollectionReader(cbis_ddsm.read_cbis_ddsm, cbis_ddsm.recognises, opened=(".csv",)),
    "inbreast": CollectionReader(inbreast.read_inbreast, inbreast.recognises, opened=(".csv", ".xml")),
    "cdd-cesm": CollectionReader(cdd_cesm.read_cdd_cesm, cdd_cesm.recognises, opened=(".csv",)),
    "vindr-mammo": CollectionReader(vindr_mammo.read_vindr_mammo, vindr_mammo.recognises, opened=(".csv",)),
    "cmmd": CollectionReader(cmmd.read_cmmd, cmmd.recognises, places_lesions=False),
    "mini-mias": CollectionReader(mini_mias.read_mini_mias, mini_mias.recognises, opened=(".txt",)),
    "table": CollectionReader(table.read_table, table.recognises, opened=(".csv",)),
}
"""Those of this package."""


def collection_names() -> tuple[str, ...]:
    """Return the names of all collections, those of other packages last."""
    return (*COLLECTIONS, *_added())


def collection_reader(name: str) -> CollectionReader:
    """Return the reader of a collection.

    Raises:
        SettingsError: there is none of this name, or another package's cannot be loaded.
    """
    if name in COLLECTIONS:
        return COLLECTIONS[name]
    point = _added().get(name)
    if point is None:
        raise SettingsError(f"There is no collection {name!r}; known are {', '.join(collection_names())}.")
    try:
        reader = point.load()
    except Exception as error:
        raise SettingsError(f"The collection {name} ({point.value}) cannot be loaded: {error!r}.") from error
    if not isinstance(reader, CollectionReader):
        found = type(reader).__name__
        raise SettingsError(f"The collection {name} ({point.value}) must be a CollectionReader, but is {found}.")
    return reader


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in COLLECTIONS}


def _read(name: str, source: Path, settings: IngestSettings, attributes: Path | None) -> Any:
    found = collection_reader(name).read(source, settings)
    return with_attributes(found, attributes) if attributes and isinstance(found, Collection) else found


def read_collection(source: Path, settings: IngestSettings, attributes: Path | None = None) -> Collection:
    """Read the tables of a collection and find its files; no pixel is read.

    Args:
        source: folder (or table) of the collection.
        settings: which collection, and which abnormalities.
        attributes: a table of what else is known of the lesions, by the names of their pictures.

    Returns:
        What its reader found, with one identifier for each person (`one_person_each`), without lesions whose mask
        two mammograms name (`without_shared_masks`) and mammograms whose files have names that no table can hold
        (`without_names_of_no_text`), and with identifiers of mammograms and lesions that can be names of files
        (`with_names_of_files`).

    Raises:
        SourceError: the tables are missing, or cannot be read.
    """
    with Child(Limits(memory_gb=settings.read_memory_gb, silent=True)) as child:
        try:
            found = child.ask(_read, settings.collection, source, settings, attributes)
        except ChildDiedError as death:
            if not death.began:
                raise SourceError(f"The process that was to read {source} {death.why}. {RUN_AGAIN}") from death
            raise SourceError(
                f"The process that read the tables of {source} {death.why}: a table, or what is called one, is "
                "damaged or far too large."
            ) from death
        except MammofillError:
            raise
        except Exception as error:
            raise SourceError(
                f"The tables of {source} cannot be read as {settings.collection} ({type(error).__name__}: {error}). "
                "One of them is damaged, or of a kind that nobody foresaw."
            ) from error
    if not isinstance(found, Collection):
        raise SourceError(f"The reader of {settings.collection} returned {type(found).__name__}, not a Collection.")
    return with_names_of_files(without_names_of_no_text(without_shared_masks(one_person_each(found))))
