"""The audit: reads the tables, examines every image in parallel, and collects the findings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mammofill.audit.alike import check_index
from mammofill.audit.examine import Facts, examine, read_facts, read_small_copy
from mammofill.audit.findings import SEVERITIES, Case, Finding
from mammofill.audit.images import Looked, image_findings
from mammofill.audit.overview import Overview, count_all, listed_rows
from mammofill.audit.recognise import recognise
from mammofill.audit.rules import OF_FILES, OF_TABLES, is_told_by_tables, rule_findings
from mammofill.audit.settings import AuditSettings, reading_limits
from mammofill.audit.tables import table_findings
from mammofill.ground.errors import SourceError, TooFewError
from mammofill.ground.file_names import refuse_no_utf8
from mammofill.ground.processes import Limits, in_processes
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.device_tells_class import class_told
from mammofill.mammograms.mask_fits import find_misfits
from mammofill.mammograms.names_in_headers import one_person_in_headers, patients_contradicted
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Collection, Exclusion, MammogramEntry
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.sources.shared_masks import same_masks


@dataclass(frozen=True)
class Audit:
    """The findings in a collection."""

    source: Path
    settings: AuditSettings
    collection: str
    """Name of the collection."""
    recognised: bool
    """Whether the collection was recognised by its content, not named in the settings."""
    overview: Overview
    findings: tuple[Finding, ...]
    """One finding for everything that was looked for, serious ones first; without cases where nothing was found."""
    entries: tuple[MammogramEntry, ...]
    """The mammograms whose files exist."""

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings with cases."""
        return tuple(one for one in self.findings if one.cases)

    @property
    def not_found(self) -> tuple[Finding, ...]:
        """The findings without cases."""
        return tuple(one for one in self.findings if not one.cases)

    @property
    def ingest_settings(self) -> IngestSettings:
        """The settings with which ingest's functions are run."""
        return _ingest_settings(self.collection, self.settings)


def audit(source: str | Path, settings: AuditSettings = AuditSettings(), *, progress: Progress = quiet) -> Audit:
    """Find the faults of a collection, which is only read.

    To find what `ingest` would leave out, repair or note, its own functions are run on every mammogram, with their
    default settings, and their output is discarded. Images are read in worker processes, so that a decoder that crashes
    on a damaged file gives a case and does not end the audit; of each image, only a few facts and a small copy (about
    12 kB, in a temporary folder) are kept.

    Args:
        source: folder (or table) of the collection.
        settings: which collection, which lesions, and whether images are examined.
        progress: notified after each mammogram.

    Returns:
        The findings.

    Raises:
        SourceError: the source is missing or not recognised, or its tables are missing or cannot be read.
        SettingsError: several collections recognise it; or it has so many pictures that an index is needed, and none is
            installed.
        TooFewError: its tables have no rows.
        ArtifactError: the path of the source is not valid UTF-8, which no page can hold.
    """
    source = Path(source)
    if not source.exists():
        raise SourceError(f"{source} does not exist. Give the folder (or table) of the collection.")
    refuse_no_utf8(source)
    name = settings.collection or recognise(source)
    ingest_settings = _ingest_settings(name, settings)
    collection = read_collection(source, ingest_settings)
    if not (collection.mammograms or collection.exclusions or collection.listed):
        # The same message as ingest's: "nothing was found" would make an empty collection look sound.
        raise TooFewError(f"{source}: there is no mammogram, for its tables have no rows below the header.")
    findings = [*table_findings(collection)]
    rest = replace(
        collection,
        exclusions=tuple(one for one in collection.exclusions if not is_told_by_tables(one)),
        decisions=tuple(one for one in collection.decisions if not is_told_by_tables(one)),
    )
    if settings.tables_only:
        findings += _without_images(rest)
    else:
        check_index(len(collection.mammograms))
        findings += _with_images(source, rest, ingest_settings, settings, progress)
    shown = _Shown(source, collection)
    return Audit(
        source=source,
        settings=settings,
        collection=name,
        recognised=settings.collection is None,
        overview=count_all(collection),
        findings=tuple(shown.with_pictures(one) for one in sorted(findings, key=_by_severity)),
        entries=collection.mammograms,
    )


def _ingest_settings(name: str, settings: AuditSettings) -> IngestSettings:
    return IngestSettings(collection=name, abnormality=settings.abnormality)


def _without_images(collection: Collection) -> list[Finding]:
    if collection.mammograms:
        return rule_findings(collection.exclusions, collection.decisions, OF_FILES)
    # Where no file exists at all, only the tables were meant to be examined, and missing files are not reported.
    exclusions = [exclusion for exclusion in collection.exclusions if exclusion.rule != "file-missing"]
    return rule_findings(exclusions, collection.decisions, OF_TABLES)


def _with_images(
    source: Path, collection: Collection, settings: IngestSettings, audit_settings: AuditSettings, progress: Progress
) -> list[Finding]:
    limits, workers = reading_limits(audit_settings), audit_settings.workers
    with tempfile.TemporaryDirectory(prefix="mammofill-audit-") as scratch:
        folder = Path(scratch)
        exclusions, decisions = [*collection.exclusions], [*collection.decisions]
        looked = []
        for entry, facts in _examine_all(source, folder, collection.mammograms, settings, limits, workers, progress):
            exclusions.extend(facts.exclusions)
            decisions.extend(facts.decisions)
            if facts.pixels is not None:
                looked.append(Looked(entry, facts, facts.pixels))
        spellings = {one.patient_id: one.found for one in decisions if one.rule == "patient-spelled-differently"}
        looked.sort(key=lambda one: one.entry.mammogram_id)
        names = {one.entry.mammogram_id: one.pixels.header_name for one in looked}
        contradicted, numbered = patients_contradicted(names, collection.mammograms)
        exclusions.extend(contradicted)
        lost = {one.what for one in contradicted}
        looked = [one for one in looked if one.entry.mammogram_id not in lost]
        names = {one.entry.mammogram_id: one.pixels.header_name for one in looked}
        decisions.extend(numbered)
        decisions.extend(
            one_person_in_headers(
                names,
                {one.entry.mammogram_id: one.entry.patient_id for one in looked},
                {one.entry.patient_id: split for one in looked if (split := one.entry.official_split)},
            )
        )
        decisions.extend(same_masks(mask for one in looked for mask in one.facts.masks))
        decisions.extend(find_misfits([fit for one in looked for fit in one.facts.fits]))
        if decision := class_told([file for one in looked for file in one.facts.files]):
            decisions.append(decision)
        with progress.task("comparing pictures", 1) as task:
            copy_of = partial(read_small_copy, folder)
            of_images = image_findings(looked, listed_rows(collection), copy_of, spellings)
            task.advance()
    return [*rule_findings(exclusions, decisions), *of_images]


def _examine_all(
    source: Path,
    folder: Path,
    entries: Sequence[MammogramEntry],
    settings: IngestSettings,
    limits: Limits,
    workers: int,
    progress: Progress,
) -> Iterator[tuple[MammogramEntry, Facts]]:
    examine_one = partial(examine, source, folder, settings)
    with progress.task("examining mammograms", len(entries)) as task:
        for entry, outcome in in_processes(examine_one, entries, workers, limits):
            task.advance()
            yield entry, read_facts(folder, entry) or _died(entry, outcome.why_lost)


def _died(entry: MammogramEntry, why: str) -> Facts:
    found = f"The process that read {' or '.join(str(path) for path in entry.image)} or its masks {why}."
    return Facts((Exclusion(entry.mammogram_id, entry.patient_id, "reader-died", found),), (), None)


class _Shown:
    """Finds the mammogram of a case that ingest names by its lesion, and shortens paths to those in the collection."""

    def __init__(self, source: Path, collection: Collection) -> None:
        self._base = f"{source if source.is_dir() else source.parent}{os.sep}"
        self._with_file = {entry.mammogram_id for entry in collection.mammograms}
        self._mammogram_of = {row.lesion_id: row.mammogram_id for row in listed_rows(collection) if row.lesion_id}
        for entry in collection.mammograms:
            self._mammogram_of |= {lesion.lesion_id: entry.mammogram_id for lesion in entry.lesions}

    def with_pictures(self, finding: Finding) -> Finding:
        """Return a finding whose cases name the mammograms that show them, if their files exist."""
        return replace(finding, cases=tuple(self._case(case) for case in finding.cases))

    def _case(self, case: Case) -> Case:
        lesion = case.what if case.what in self._mammogram_of else case.lesion_id
        named = (*case.mammogram_ids, case.what, self._mammogram_of.get(lesion or "", ""))
        shown = tuple(dict.fromkeys(name for name in named if name in self._with_file))
        return replace(case, words=case.words.replace(self._base, ""), mammogram_ids=shown, lesion_id=lesion)


def _by_severity(finding: Finding) -> tuple[int, bool]:
    return SEVERITIES.index(finding.severity), not finding.cases
