"""An external test set: mammograms of another source than those learned from, and the check of that."""

from __future__ import annotations

from mammofill.classifier import Classifier
from mammofill.ground.artifact import Artifact, upstream, verify
from mammofill.ground.counting import counted
from mammofill.ground.errors import LeakError
from mammofill.ground.parquet import read_parquet
from mammofill.patches import PatchSet

_OWN_TABLES = "table"
"""The one name of a collection that stands for many: two hospitals' own tables are not the same mammograms."""


def check_external(classifier: Classifier, patches: PatchSet, name: str) -> dict[str, object]:
    """Refuse an external test set that comes from where the classifier's own mammograms came from.

    Patients are compared elsewhere. Here the mammograms are: other identifiers, or a second copy of a collection, would
    hide that they are the same.

    Args:
        classifier: that is evaluated.
        patches: the external ones.
        name: what the external source is called.

    Returns:
        What ``evaluation.json`` says of it: ``external`` (the name), ``external_collections`` and
        ``learned_collections`` (names of collections as in ingest; empty where the mammograms are no longer found),
        and ``external_check``, what could be compared, in words.

    Raises:
        LeakError: both come from one set of mammograms, one folder, one public collection, or share image files.
        DamagedError: the table of a set of mammograms was changed after it was finished.
    """
    own, external = (upstream(one).get("mammograms", []) for one in (classifier, patches))
    for one in own:
        for other in external:
            if same := _what_is_shared(one, other):
                raise LeakError(
                    f"The external test set {name!r} ({other.folder}) is not external to {classifier.folder}: {same}. "
                    "Take mammograms of another source, or evaluate on the test split without a name in external."
                )
    missing = [str(folder) for found, folder in ((own, classifier.folder), (external, patches.folder)) if not found]
    return {
        "external": name,
        "external_collections": sorted({_collection(one) for one in external}),
        "learned_collections": sorted({_collection(one) for one in own}),
        "external_check": (
            f"patients alone: the mammograms behind {' and '.join(missing)} were not found"
            if missing
            else "patients, collections and image files"
        ),
    }


def _what_is_shared(own: Artifact, other: Artifact) -> str:
    """Say what two sets of mammograms have in common; empty where they have nothing."""
    if own.fingerprint == other.fingerprint:
        return f"the classifier learned from the same set of mammograms ({own.folder})"
    if _sources(own) & _sources(other):
        return f"both were read from {min(_sources(own) & _sources(other))}"
    collection = _collection(own)
    if collection == _collection(other) != _OWN_TABLES:
        return f"both are {collection}"
    shared = _image_files(own) & _image_files(other)
    return f"{counted(len(shared), 'image files are')} the same, to the bit" if shared else ""


def _collection(mammograms: Artifact) -> str:
    return str(mammograms.manifest.settings.get("collection", ""))


def _sources(mammograms: Artifact) -> set[str]:
    return {one.place(mammograms.folder.absolute()) for one in mammograms.manifest.inputs
            if one.role == "source"}  # fmt: skip


def _image_files(mammograms: Artifact) -> set[str]:
    verify(mammograms, ["mammograms.parquet"])
    hashes = read_parquet(mammograms.folder / "mammograms.parquet", columns=["source_sha256"])["source_sha256"]
    return {str(one) for one in hashes.dropna() if one}
