"""A spreadsheet that opens a table of ours takes no cell for a formula."""

from __future__ import annotations

import pandas as pd

from mammofill.ground.csv_export import to_csv


def test_formulas_become_text_and_numbers_stay() -> None:
    table = pd.DataFrame({"=name": ["=1+1", "@SUM(A1)", "plain", "-3", "-x"], "number": [-1.5, 2, 3, 4, 5]})
    assert to_csv(table).splitlines() == [
        "'=name,number", "'=1+1,-1.5", "'@SUM(A1),2.0", "plain,3.0", "-3,4.0", "'-x,5.0"
    ]  # fmt: skip
