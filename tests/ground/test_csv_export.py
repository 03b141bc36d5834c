"""A spreadsheet that opens a table of ours takes no cell for a formula."""

from __future__ import annotations

import csv
import io

import pandas as pd

from mammofill.ground.csv_export import to_csv


def test_formulas_become_text_and_numbers_stay() -> None:
    table = pd.DataFrame({"=name": ["=1+1", "@SUM(A1)", "plain", "-3", "-x"], "number": [-1.5, 2, 3, 4, 5]})
    assert to_csv(table).splitlines() == [
        "'=name,number", "'=1+1,-1.5", "'@SUM(A1),2.0", "plain,3.0", "-3,4.0", "'-x,5.0"
    ]  # fmt: skip


def test_formulas_in_full_width_and_behind_a_line_end_become_text_too() -> None:
    table = pd.DataFrame({"name": ["\uff1d1+1", "\n=1", "\t=1", "\r=1"]})
    cells = pd.read_csv(io.StringIO(to_csv(table)))["name"]
    assert [cell[0] for cell in cells] == ["'"] * 4


def test_a_formula_behind_a_carriage_return_begins_no_cell() -> None:
    table = pd.DataFrame({"name": ["words\r=1+1", "words\r\n=1+1"]})
    assert [row[0] for row in csv.reader(io.StringIO(to_csv(table), newline=""))][1:] == ["words\n=1+1"] * 2
