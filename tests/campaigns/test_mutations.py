"""A small part of the campaign of mutations; the whole is run by hand (see `mutations`)."""

from __future__ import annotations

import pytest
from mutations import campaign


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_of_every_kind_are_read_or_refused() -> None:
    became, faults = campaign(seed=7, count=50, minutes=60)
    assert not faults, "\n".join(faults)
    assert became.total() >= 40
