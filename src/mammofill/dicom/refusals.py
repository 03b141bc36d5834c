"""Whatever the library raises over a broken file is an error of ours that names it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.errors import InvalidDicomError

from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import looks_like

_logger = logging.getLogger("mammofill.dicom")


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn whatever the library raises over a broken file into our error.

    What it warns of meanwhile is about details of the header; it goes to our log at level INFO, with the file's name.
    """
    with warnings.catch_warnings(record=True) as remarks, _quiet(logging.getLogger("pydicom")):
        warnings.simplefilter("always")
        try:
            yield
        except ImageFileError:
            raise
        except InvalidDicomError as error:
            raise ImageFileError(
                f"{path} is not a DICOM file: {looks_like(path) or 'it lacks the DICM mark and a file header'}."
            ) from error
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except OSError as error:
            raise ImageFileError(f"{path} cannot be read: {error}.") from error
        except BaseException as error:
            # A broken header can raise nearly anything inside the library; a decoder in Rust panics, which is no
            # Exception.
            told = str(error) or type(error).__name__
            raise ImageFileError(f"{path} cannot be read as DICOM: {told}. The file is damaged.") from error
        finally:
            for remark in remarks:
                _logger.info("%s: %s", path, remark.message)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
