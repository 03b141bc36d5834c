"""Rows of a table that other installed packages add, by entry point."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from mammofill.ground.errors import SettingsError


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """What it is called; no two rows of a table share it."""


Row = TypeVar("Row", bound=Named)


def with_extensions(ours: Iterable[Row], group: str, kind: type[Row]) -> dict[str, Row]:
    """Return the rows of a table by name: ours first, then those that other packages name under a group.

    Args:
        ours: our own rows.
        group: of entry points, each of which names a row: ``name = "package.module:ROW"``.
        kind: class of the rows.

    Raises:
        SettingsError: an entry point cannot be imported, is no such row, or has the name of another row.
    """
    rows = {row.name: row for row in ours}
    for point in entry_points(group=group):
        try:
            row = point.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(
                f"The entry point {point.value!r} ({group}) of an installed package cannot be imported ({error}). Mend "
                "or uninstall that package."
            ) from error
        if not isinstance(row, kind):
            raise SettingsError(
                f"The entry point {point.value!r} ({group}) of an installed package must be a {kind.__name__}, but is "
                f"{row!r}. Mend or uninstall that package."
            )
        if row.name in rows:
            raise SettingsError(
                f"The entry point {point.value!r} ({group}) of an installed package is called {row.name!r}, as another "
                "one is already. Rename it or uninstall that package."
            )
        rows[row.name] = row
    return rows
