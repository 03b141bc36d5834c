"""mini-MIAS: 322 films of 161 women, 1024x1024 at 0.2 mm, lesions marked by circles (Suckling et al., 1994).

Checked on the pictures: the y of a circle counts from the bottom, and ``mdb(2k-1)`` and ``mdb(2k)`` are the left and
the right breast of one woman: the letters on the films say so (they lie mirrored), though ``Info.txt`` has it the other
way round. All views are mediolateral oblique.
"""

from __future__ import annotations

import re
from pathlib import Path

from mammofill.ground.errors import SourceError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.entries import Circle, Collection, Exclusion, LesionEntry, MammogramEntry

_SIZE_PX = 1024
_SPACING_MM = 0.2
_ABNORMALITIES = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",  # "other, ill-defined masses"
    "ARCH": "other",
    "ASYM": "other",
}
_PATHOLOGIES = {"B": "benign", "M": "malignant"}
_ROW = re.compile(r"(mdb\d{3})\s+([FGD])\s+([A-Z]{4})\b(.*)")


def read_mini_mias(source: Path, settings: IngestSettings) -> Collection:
    """Read ``Info.txt`` and find the images that it speaks of.

    Lesions of another abnormality than the one asked for are handed on as well: they keep normal patches away.

    Args:
        source: folder that holds ``Info.txt`` and the images (``mdb001.pgm`` or ``.png``), at any depth.
        settings: not used; the collection has one table.

    Returns:
        One entry per image that is there.

    Raises:
        SourceError: there is no ``Info.txt``, or it has no rows of the kind expected.
    """
    table = next(iter(sorted(source.rglob("Info.txt"))), None)
    if table is None:
        raise SourceError(f"{source} lacks Info.txt, which comes with mini-MIAS and says where the lesions are.")
    rows: dict[str, list[tuple[int, str, str, list[str]]]] = {}
    for number, line in enumerate(table.read_text(encoding="latin-1").splitlines(), start=1):
        found = _ROW.match(line)
        if found:
            rows.setdefault(found[1], []).append((number, found[2], found[3], found[4].split()))
    if not rows:
        raise SourceError(
            f'{table} has no row like "mdb001 G CIRC B 535 425 197". Is it the file that was distributed?'
        )
    images = {path.stem: path for end in (".png", ".pgm") for path in sorted(source.rglob(f"mdb*{end}"))}

    exclusions: list[Exclusion] = []
    mammograms = []
    for name in sorted(rows):
        if name not in images:
            found_words = f"{table.name} lists {name}, but {source} holds no {name}.pgm or {name}.png."
            exclusions.append(Exclusion(name, _patient(name), "file-missing", found_words))
            continue
        mammograms.append(_mammogram(name, rows[name], images[name], table.name, exclusions))
    return Collection(tuple(mammograms), tuple(exclusions))


def _patient(name: str) -> str:
    """Both films of a woman get the same patient: mdb001 and mdb002 are ``mias-001``."""
    return f"mias-{(int(name[3:]) + 1) // 2:03d}"


def _mammogram(
    name: str,
    rows: list[tuple[int, str, str, list[str]]],
    image: Path,
    table: str,
    exclusions: list[Exclusion],
) -> MammogramEntry:
    lesions = []
    named = [row for row in rows if row[2] != "NORM"]
    for count, (number, _, kind, rest) in enumerate(named, start=1):
        lesion_id = f"{name}_{count}"
        source = f"{table} line {number}"
        pathology = _PATHOLOGIES.get(rest[0]) if rest else None
        if pathology is None:
            found = f"{source} gives no severity (B or M) for {lesion_id}."
            exclusions.append(Exclusion(lesion_id, _patient(name), "lesion-without-pathology", found))
            continue
        if len(rest) < 4 or not all(re.fullmatch(r"\d+", value) for value in rest[1:4]):
            found = f"{source} gives no circle for {lesion_id}: {' '.join(rest) or 'nothing'}."
            exclusions.append(Exclusion(lesion_id, _patient(name), "lesion-without-place", found))
            continue
        x, y, radius = (int(value) for value in rest[1:4])
        lesions.append(
            LesionEntry(
                lesion_id=lesion_id,
                pathology=pathology,
                abnormality=_ABNORMALITIES.get(kind, "other"),
                place=Circle(row=_SIZE_PX - 1 - y, column=x, radius=radius),
                source=source,
                attributes={"class": kind},
            )
        )
    return MammogramEntry(
        mammogram_id=name,
        patient_id=_patient(name),
        laterality="left" if int(name[3:]) % 2 else "right",
        view="mlo",
        image=(image,),
        lesions=tuple(lesions),
        all_lesions_located=len(lesions) == len(named),
        density=rows[0][1],
        spacing_mm=_SPACING_MM,
        source_shape=(_SIZE_PX, _SIZE_PX),
    )
