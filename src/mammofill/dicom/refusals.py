"""Errors of pydicom about a damaged file are raised as `ImageFileError`, with the file's name."""

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
    """Raise any error of pydicom in this context as ImageFileError, with the file's name.

    Its warnings are about details of the header; they are logged at level INFO, with the file's name.
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
            # A damaged header can raise nearly any error inside pydicom; a panic of a decoder in Rust is not an
            # Exception.
            reason = str(error) or type(error).__name__
            raise ImageFileError(f"{path} cannot be read as DICOM: {reason}. The file is damaged.") from error
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
