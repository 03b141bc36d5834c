from __future__ import annotations

import pytest

from mammofill.ground.counting import counted


@pytest.mark.parametrize(
    ("count", "names", "said"),
    [
        (0, "patches", "0 patches"),
        (1, "mammograms", "1 mammogram"),
        (1, "patches", "1 patch"),
        (1, "masses", "1 mass"),
        (1, "cases", "1 case"),
        (1, "studies", "1 study"),
        (1, "series", "1 series"),
        (1, "training sets", "1 training set"),
        (1, "windows dropped", "1 window dropped"),
        (1, "fills of used pairs", "1 fill of used pairs"),
        (1, "missing upstream", "1 missing upstream"),
        (1, "patients are", "1 patient is"),
        (1, "image files belong", "1 image file belongs"),
        (1, "rows do", "1 row does"),
        (2, "patients have", "2 patients have"),
        (10145, "pairs", "10,145 pairs"),
    ],
)
def test_one_of_what_was_counted_is_said_in_the_singular(count: int, names: str, said: str) -> None:
    assert counted(count, names) == said
