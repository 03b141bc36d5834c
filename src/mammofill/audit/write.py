"""The findings as files: ``audit.json`` for programs, and ``index.html``, a page that needs no network."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mammofill import __version__
from mammofill.audit.audit import Audit
from mammofill.audit.findings import SEVERITIES, Finding
from mammofill.audit.pictures import Example, draw_examples
from mammofill.audit.summary import files_there, headline, is_count, what_is_listed
from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import SettingsError
from mammofill.ground.progress import Progress, quiet

FORMAT = 1
"""Version of the layout of ``audit.json``."""

_MOST_ROWS = 200
"""Cases of a finding that the page lists; ``audit.json`` has all."""


def write_audit(audit: Audit, out: str | Path, *, pictures: int = 6, progress: Progress = quiet) -> Path:
    """Write the findings; files of an earlier audit in the same folder are replaced.

    Args:
        audit: the findings.
        out: folder for the two files.
        pictures: number of cases of each finding that are drawn on the page.
        progress: notified while pictures are drawn.

    Returns:
        Path of the page.

    Raises:
        SettingsError: the folder is inside the collection, which is only read, or cannot be written.
    """
    out = Path(out)
    check_out(out, audit.source)
    out.mkdir(parents=True, exist_ok=True)
    examples = draw_examples(audit, pictures, progress)
    write_atomically(out / "audit.json", json.dumps(as_json(audit), indent=1, ensure_ascii=False) + "\n")
    write_atomically(out / "index.html", render_page(audit, examples))
    return out / "index.html"


def check_out(out: Path, source: Path) -> None:
    """Refuse a folder for the page that is inside the collection or cannot be written, before any image is read.

    Raises:
        SettingsError: names the folder and the reason.
    """
    base = source if source.is_dir() else source.parent
    if out.resolve().is_relative_to(base.resolve()):
        raise SettingsError(
            f"--out {out} lies in the collection {base}, which an audit only reads. Choose another folder."
        )
    there = next((place for place in (out, *out.parents) if place.exists()), Path())
    if not there.is_dir():
        raise SettingsError(f"--out {out} cannot be a folder: {there} is a file. Choose another one.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError(f"--out {out} cannot be written: {there} does not allow it. Choose another folder.")


def as_json(audit: Audit) -> dict[str, object]:
    """Return all findings as plain values."""
    return {
        "format": FORMAT,
        "package_version": __version__,
        "source": str(audit.source),
        "collection": audit.collection,
        "recognised": audit.recognised,
        "settings": asdict(audit.settings),
        "counts": {
            "patients": audit.overview.patients,
            "mammograms": audit.overview.mammograms,
            "mammograms_with_file": audit.overview.mammograms_with_file,
            "lesions": audit.overview.lesions,
            "mammograms_with_unlisted_lesions": audit.overview.with_unlisted,
        },
        "overview": [asdict(sheet) for sheet in audit.overview.sheets],
        "findings": [asdict(finding) | {"count": finding.count} for finding in audit.findings],
    }


def render_page(audit: Audit, examples: Mapping[str, Sequence[Example]]) -> str:
    """Return the page as HTML that refers to nothing outside itself."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["jpeg"] = lambda content: f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
    environment.filters["code"] = _with_code
    environment.filters["counted"] = counted
    environment.tests["count"] = is_count
    template = resources.files("mammofill.audit").joinpath("template.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        source=str(audit.source),
        headline=headline(audit),
        overview=audit.overview,
        what_is_listed=what_is_listed(audit.overview),
        files_there=files_there(audit.overview),
        tables_only=audit.settings.tables_only,
        groups=[(severity, _of(audit.found, severity)) for severity in SEVERITIES if _of(audit.found, severity)],
        not_found=audit.not_found,
        examples=examples,
        most_rows=_MOST_ROWS,
        version=__version__,
    )


def _with_code(text: str) -> Markup:
    """Mark text between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _of(findings: Sequence[Finding], severity: str) -> list[Finding]:
    return [finding for finding in findings if finding.severity == severity]
