"""Write the table for CDD-CESM's low-energy mammograms with masks, so that `mammofill ingest table` reads them.

Expects a folder with `images/P###_<side>_DM_<view>.jpg` and masks of the same names in `masks/` (Khaled et al.,
Scientific Data, 2022, doi:10.1038/s41597-022-01238-0). All of these lesions are malignant: they can train an infiller,
but say nothing about benign against malignant.

    python examples/cdd_cesm_table.py FOLDER TABLE.csv
"""

import csv
import os
import sys
from pathlib import Path


def main(folder: Path, table: Path) -> None:
    """Write one row per image that has a mask."""
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "patient", "laterality", "view", "pathology"])
        for mask in sorted((folder / "masks").glob("*.jpg")):
            patient, side, _, view = mask.stem.split("_")[:4]
            image = folder / "images" / mask.name
            relative = [os.path.relpath(path, table.parent) for path in (image, mask)]
            writer.writerow([*relative, patient, side, view, "malignant"])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
