"""ReaderStudy: one SQLite file with the cases, the readers and their ratings.

Each rating is written to disk, with write-ahead logging, before it is confirmed to the reader, so that none is lost
when the server or the machine stops. Tables: ``study`` (name, value), ``cases`` (number, pathology, synthetic,
patch_id, side, pixels), ``readers`` (code, number, cases in reading order), ``ratings`` (code, number of the case,
synthetic and malignant from 1 to 100, seconds, time).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.errors import ArtifactError, DamagedError, SettingsError

_SCHEMA = """
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cases (number INTEGER PRIMARY KEY, pathology TEXT NOT NULL, synthetic INTEGER NOT NULL,
                    patch_id TEXT NOT NULL, side INTEGER NOT NULL, pixels BLOB NOT NULL);
CREATE TABLE readers (code TEXT PRIMARY KEY, number INTEGER UNIQUE NOT NULL, cases TEXT NOT NULL);
"""
_RATINGS = """
CREATE TABLE ratings (code TEXT NOT NULL REFERENCES readers, number INTEGER NOT NULL REFERENCES cases,
                      synthetic INTEGER NOT NULL CHECK (synthetic BETWEEN 1 AND 100),
                      malignant INTEGER NOT NULL CHECK (malignant BETWEEN 1 AND 100),
                      seconds REAL NOT NULL, time TEXT NOT NULL, PRIMARY KEY (code, number));
"""


@dataclass(frozen=True)
class Case:
    """One picture that is read."""

    pathology: str
    synthetic: bool
    patch_id: str
    row: int
    """Row in the table of its set."""


class ReaderStudy:
    """A reader study in its file."""

    kind = "ratings"
    format = "1"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def write(
        cls,
        path: Path,
        cases: Sequence[Case],
        pictures: Sequence[NDArray[np.uint8]],
        orders: Mapping[str, NDArray[np.int64]],
        lineage: Mapping[str, Any],
    ) -> ReaderStudy:
        """Write a new study.

        Args:
            path: the file; its folder is created.
            cases: N cases.
            pictures: N, (H, H) uint8 each.
            orders: for each reader's code, the N cases' numbers in reading order.
            lineage: what the study was made from.

        Raises:
            ArtifactError: the file exists already.
        """
        if path.exists():
            raise ArtifactError(f"{path} is there already, and may hold ratings. Choose another --out.")
        path.parent.mkdir(parents=True, exist_ok=True)
        study = cls(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            read = {code: one.tolist() for code, one in orders.items()}
            write_cases(database, cls.format, _RATINGS, cases, pictures, read, lineage)
            database.execute("COMMIT")
        return study

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise ArtifactError(f"{self.path} is no file of a reader study. Check the path.")
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as database:
            try:
                database.execute("PRAGMA synchronous = FULL")
                found = database.execute("SELECT value FROM study WHERE name = 'format'").fetchone()
            except sqlite3.DatabaseError as error:
                raise DamagedError(f"{self.path} is no reader study ({error}). Check the path.") from error
            if found is None or found[0] != self.format:
                raise DamagedError(f"{self.path} has another format than {self.format}, which is read here.")
            yield database

    def codes(self) -> list[str]:
        """Return the readers' codes, in order."""
        with self._opened() as database:
            return [code for (code,) in database.execute("SELECT code FROM readers ORDER BY number")]

    def lineage(self) -> dict[str, Any]:
        """Return what the study was made from."""
        with self._opened() as database:
            found = database.execute("SELECT value FROM study WHERE name = 'lineage'").fetchone()
        return dict(json.loads(found[0]))

    def progress(self) -> dict[str, Any]:
        """Return the number of cases, and how many each reader has rated."""
        with self._opened() as database:
            cases = database.execute("SELECT count(*) FROM cases").fetchone()[0]
            rated = database.execute(
                "SELECT readers.code, count(ratings.number) FROM readers LEFT JOIN ratings USING (code) "
                "GROUP BY readers.code ORDER BY readers.number"
            ).fetchall()
        return {"cases": cases, "readers": [{"code": code, "rated": count} for code, count in rated]}

    def who_is_done(self, answers: pd.DataFrame) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Return the numbers of the readers who answered all, those of the others, and the most answers of one reader.

        Args:
            answers: one row for each answer of any reader; the reader's number is in the column reader.
        """
        progress, counts = self.progress(), answers["reader"].value_counts()
        everyone = range(1, len(progress["readers"]) + 1)
        done = tuple(reader for reader in everyone if counts.get(reader, 0) == progress["cases"])
        return done, tuple(reader for reader in everyone if reader not in done), int(counts.max()) if len(counts) else 0

    def upcoming(self, code: str) -> dict[str, Any]:
        """Return a reader's position, that of the first case without a rating; the number of cases; the pictures' side.

        When all cases are rated, the position is the number of cases.
        """
        with self._opened() as database:
            order = stored_order(database, code)
            rated = {number for (number,) in database.execute("SELECT number FROM ratings WHERE code = ?", (code,))}
            side = database.execute("SELECT max(side) FROM cases").fetchone()[0]
        position = next((place for place, number in enumerate(order) if number not in rated), len(order))
        return {"position": position, "cases": len(order), "side": side, "kind": self.kind}

    def pixels(self, code: str, position: int) -> bytes:
        """Return the picture at a position of a reader's order, side x side bytes, whatever its origin.

        Raises:
            SettingsError: it is not the case that the reader is to rate now, or there is none.
        """
        turn = self.upcoming(code)
        if position != turn["position"] or position == turn["cases"]:
            raise SettingsError("This is not the case that is to be read now. Load the page again.")
        with self._opened() as database:
            number = stored_order(database, code)[position]
            found = database.execute("SELECT pixels FROM cases WHERE number = ?", (number,)).fetchone()
        return bytes(found[0])

    def rate(self, code: str, position: int, synthetic: int, malignant: int, seconds: float) -> None:
        """Store a reader's rating of a case; it is written to disk when this returns.

        Repeating the same rating, as after a lost response, changes nothing.

        Args:
            code: of the reader.
            position: of the case, in the reader's order.
            synthetic: 1 certainly real, 100 certainly synthetic.
            malignant: 1 certainly benign, 100 certainly malignant.
            seconds: time that it took.

        Raises:
            SettingsError: another rating was given already, it is not the case to be rated now, or a rating is not in
                1 to 100.
        """
        if not (1 <= synthetic <= 100 and 1 <= malignant <= 100):
            raise SettingsError(f"Ratings are from 1 to 100, but got {synthetic} and {malignant}.")
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            order = stored_order(database, code)
            rated = {
                number: (one, other)
                for number, one, other in database.execute(
                    "SELECT number, synthetic, malignant FROM ratings WHERE code = ?", (code,)
                )
            }
            turn = next((place for place, number in enumerate(order) if number not in rated), len(order))
            if position < turn and rated[order[position]] == (synthetic, malignant):
                database.execute("ROLLBACK")
                return
            if position != turn or turn == len(order):
                database.execute("ROLLBACK")
                raise SettingsError("This case was rated already, or is not to be rated yet. Load the page again.")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = (code, order[position], synthetic, malignant, seconds, now)
            database.execute("INSERT INTO ratings VALUES (?, ?, ?, ?, ?, ?)", row)
            database.execute("COMMIT")

    def ratings(self) -> pd.DataFrame:
        """Return all ratings: reader (1, 2, ...), case, pathology, origin, synthetic, malignant, seconds, time."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT readers.number, cases.number, pathology, cases.synthetic, ratings.synthetic, malignant, "
                "seconds, time FROM ratings JOIN readers USING (code) JOIN cases ON cases.number = ratings.number "
                "ORDER BY readers.number, cases.number"
            ).fetchall()
        columns = ["reader", "case", "pathology", "is_synthetic", "synthetic", "malignant", "seconds", "time"]
        table = pd.DataFrame(rows, columns=columns)
        table.insert(3, "origin", np.where(table.pop("is_synthetic").astype(bool), "synthetic", "real"))
        return table


def write_cases(
    database: sqlite3.Connection,
    form: str,
    tables: str,
    cases: Sequence[Case],
    pictures: Sequence[NDArray[np.uint8]],
    orders: Mapping[str, Sequence[Any]],
    lineage: Mapping[str, Any],
) -> None:
    """Begin to write a study: the tables that every kind has. The transaction stays open.

    Args:
        database: an empty database.
        form: name and number of the format.
        tables: the schema of this kind's further tables.
        cases: N cases.
        pictures: N, (H, H) uint8 each.
        orders: for each reader's code, its cases or pairs in reading order.
        lineage: what the study was made from.
    """
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript("BEGIN IMMEDIATE;" + _SCHEMA + tables)
    facts = {"format": form, "lineage": json.dumps(dict(lineage), sort_keys=True)}
    database.executemany("INSERT INTO study VALUES (?, ?)", facts.items())
    database.executemany(
        "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?)",
        [
            (number, case.pathology, case.synthetic, case.patch_id, len(picture), picture.tobytes())
            for number, (case, picture) in enumerate(zip(cases, pictures, strict=True))
        ],
    )
    database.executemany(
        "INSERT INTO readers VALUES (?, ?, ?)",
        [(code, number, json.dumps(list(order))) for number, (code, order) in enumerate(orders.items(), 1)],
    )


def stored_order(database: sqlite3.Connection, code: str) -> list[Any]:
    """Return a reader's cases or pairs in reading order, as stored.

    Raises:
        SettingsError: no reader has this code.
    """
    found = database.execute("SELECT cases FROM readers WHERE code = ?", (code,)).fetchone()
    if found is None:
        raise SettingsError("No reader of this study has this code.")
    return list(json.loads(found[0]))
