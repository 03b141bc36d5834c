"""Unique identifiers of DICOM objects that follow from what the objects were made from."""

from __future__ import annotations

import uuid


def uid(*names: object) -> str:
    """Return the identifier of what has these names: the same whenever and wherever it is made.

    A UUID of version 5 as a decimal number under ``2.25``. Source: DICOM PS3.5 B.2, RFC 4122 section 4.3.
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, '/'.join(['mammofill', *map(str, names)])).int}"
