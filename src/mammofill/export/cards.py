"""Model card and dataset card: what a manifest and a judgement say, in the form that model hubs read.

The front matter is that of Hugging Face's cards. What only the publisher can know is marked with `TO_FILL`, never
guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mammofill.export.painted_how import is_learned, methods_of, painted_how
from mammofill.export.settings import ExportInfillerSettings, ExportPatchesSettings
from mammofill.ground.artifact import Artifact, Manifest, taught_by, upstream
from mammofill.ground.counting import counted
from mammofill.infilling import Infiller
from mammofill.patches import PatchSet

TO_FILL = "[to be filled in]"

_NOT_FOR_CARE = "Not a medical device: nothing here is for diagnosis"
_LEARNED = (
    f"{_NOT_FOR_CARE}, and what it paints is the lesion of no patient.",
    "What it paints is as varied as the patients that it learned from, and no more; rare kinds of lesions are missing.",
    "An infiller can memorise patients. It was not proved that it does not: see the judgement's measures of variety.",
    "Test a classifier on real patients only, and on none of those named in artifact.json.",
)
_NOT_LEARNED = (
    f"{_NOT_FOR_CARE}.",
    "A lesion that was pasted is a piece of a patient's mammogram: it may be passed on only where that is permitted.",
    "The table does not name the patient of a pasted lesion. Test a classifier on none of those in artifact.json.",
)
"""Limits for fills that are not all by a trained network, or not known to be."""


def model_card(infiller: Infiller, settings: ExportInfillerSettings, judgement: Artifact | None) -> str:
    """Write the card of an infiller.

    Args:
        infiller: which.
        settings: name, creator, licence, data.
        judgement: what was measured of it, where it was; an artifact of kind ``judgement``.
    """
    manifest = infiller.manifest
    classes = ", ".join(f"{count:,} {name}" for name, count in infiller.classes_learned.items())
    front = _front_matter(settings.licence, ["mammography", "inpainting", "synthetic-data", infiller.method],
                          {"library_name": "mammofill"})  # fmt: skip
    return f"""{front}
# {settings.name}

Paints benign or malignant lesions into patches of healthy breast, {infiller.size_px} x {infiller.size_px} px, with
mammofill's method `{infiller.method}`. Outside of the hole a fill is its patch, bit for bit.

- Made by: {_by(settings.creator, settings.affiliation)}
- Licence: {settings.licence or TO_FILL}
- Repaints: {infiller.hole}; can be requested: {", ".join(infiller.conditions)}
- mammofill {manifest.package_version}, seed {manifest.seed}, fingerprint of the infiller as trained
  `{manifest.fingerprint}`

## How to use it

    pip install mammofill

```python
from mammofill.infilling import Infiller
infiller = Infiller.open("{settings.name}")
fills = infiller.infill(images, masks, ["malignant"] * len(images), seeds=range(len(images)))
```

`images` are (N, {infiller.size_px}, {infiller.size_px}) uint16 over 0..65535, bright = dense; `masks` the same, bool.
`generate` in `__init__.py` does the same for folders of PNG files, as medigan calls it.

## What it learned from

- Data and its licence: {settings.data or TO_FILL}
- Read as: {_collections(infiller)}
- Patients: {_patients(manifest)} (named in `artifact.json`, so that nobody tests on them)
- Lesion patches: {classes}

## What was measured

{_measured(infiller, judgement)}

## Known limits

{_listed(_limits(infiller, judgement))}

## Settings

```json
{json.dumps(manifest.settings, indent=1)}
```
"""


def dataset_card(patches: PatchSet, settings: ExportPatchesSettings) -> str:
    """Write the card of a set of synthetic patches.

    Args:
        patches: all of origin ``synthetic``.
        settings: title, creator, licence, data.
    """
    manifest, table = patches.manifest, patches.table
    counts = table["pathology"].value_counts()
    configs = {"configs": [{"config_name": "default", "data_files": "data/patches-*.parquet"}]}
    front = _front_matter(settings.licence, ["mammography", "synthetic-data", "medical"], configs)
    methods = methods_of(patches)
    infillers = ", ".join(f"`{name}` ({method or 'method not known'})" for name, method in methods.items())
    limits = _LEARNED if all(map(is_learned, methods.values())) else _NOT_LEARNED
    return f"""{front}
# {settings.title}

{counted(len(table), "patches")} of {patches.size_px} x {patches.size_px} px with one lesion each that was painted or
pasted:
{", ".join(f"{int(count):,} {name}" for name, count in counts.items())}. {_whose(table, methods)}
The tissue around them is of {counted(table["patient_id"].nunique(), "real patients")}.

- Made by: {_by(settings.creator, "")}
- Licence: {settings.licence or TO_FILL}
- Tissue: {settings.data or TO_FILL}; read as: {_collections(patches)}
- Painted by: {infillers}, which learned from {counted(len(taught_by(manifest.patients_learned_from)), "patients")}
- mammofill {manifest.package_version}, seed {manifest.seed}, fingerprint `{manifest.fingerprint}`

## How to use it

```python
from datasets import load_dataset
patches = load_dataset("parquet", data_files="data/patches-*.parquet")["train"]
image, mask, label = patches[0]["image"], patches[0]["mask"], patches[0]["pathology"]
```

`pathology` is the requested class, not a pathologist's finding. `patient_id` is the patient of the tissue,
`mask_donor_patient_id` the patient whose lesion lent the outline: test on neither of them.

## Known limits

{_listed(limits)}

## Settings

```json
{json.dumps(manifest.settings, indent=1)}
```
"""


def _whose(table: pd.DataFrame, methods: Mapping[str, str]) -> str:
    """Say how many lesions were made in which way, and so whether they are real lesions of patients."""
    counts = table["infiller"].map(methods).map(lambda method: painted_how(method).card).value_counts()
    return " ".join(f"**{'All' if count == len(table) else f'{count:,}'} {words}.**" for words, count in counts.items())


def measures_of(infiller: Infiller, judgement: Artifact | None) -> dict[str, Any]:
    """Return what a judgement measured of an infiller: name -> {value, low, high, verdict}; empty without one.

    Raises:
        KeyError: the judgement is not about this infiller.
    """
    if judgement is None:
        return {}
    content = json.loads((judgement.folder / "judgement.json").read_text(encoding="utf-8"))
    names = {one["fingerprint"]: one["name"] for one in content["infillers"]}
    measures: dict[str, Any] = content["measures"][names[infiller.fingerprint]]
    return measures


def _front_matter(licence: str, tags: Sequence[str], more: Mapping[str, Any]) -> str:
    """Return a card's front matter; YAML, of which JSON is a part."""
    fields = {"license": licence.lower() or "other", "tags": list(tags), **more}
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _by(creator: str, affiliation: str) -> str:
    return ", ".join(part for part in (creator or TO_FILL, affiliation) if part)


def _patients(manifest: Manifest) -> str:
    return f"{len(taught_by(manifest.patients_learned_from)):,}"


def _collections(artifact: Artifact) -> str:
    """Say which collections are upstream, as far as they are still at their place."""
    found = sorted({str(one.manifest.settings["collection"]) for one in upstream(artifact).get("mammograms", [])})
    return ", ".join(found) or "not known (the mammograms are no longer at their place)"


def _measured(infiller: Infiller, judgement: Artifact | None) -> str:
    measures = measures_of(infiller, judgement)
    if not measures:
        return "Nothing: no judgement was given. Judge it with `mammofill judge-infiller` before you rely on it."
    rows = [
        f"| {name.replace('_', ' ')} | {_number(one['value'])} "
        f"| {_number(one.get('low'))} to {_number(one.get('high'))} | {one.get('verdict') or ''} |"
        for name, one in measures.items()
    ]
    return "\n".join(["| measure | value | interval | verdict |", "|---|---|---|---|", *rows])


def _number(value: Any) -> str:
    return "" if value is None or value != value else f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _limits(infiller: Infiller, judgement: Artifact | None) -> list[str]:
    missed = [
        name.replace("_", " ")
        for name, one in measures_of(infiller, judgement).items()
        if one.get("verdict") == "not reached"
    ]
    limits = [f"Not reached when it was judged: {', '.join(missed)}."] if missed else []
    lacking = [name for name in ("benign", "malignant") if not infiller.classes_learned.get(name)]
    if lacking:
        limits.append(f"It was trained without {' or '.join(lacking)} lesions.")
    return [*limits, *_LEARNED]


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
