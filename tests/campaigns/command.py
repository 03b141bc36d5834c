"""The command line that all campaigns share."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable

Campaign = Callable[..., tuple[Counter[str], list[str]]]


def run_campaign(campaign: Campaign, summary: str, count: int, minutes: float, only: str = "") -> int:
    """Run a campaign from the command line; return the exit code, 1 where there was a fault.

    Args:
        campaign: of seed, count, minutes and, where there is a choice, what to keep to; returns how often a round ended
            in which way, and the faults.
        summary: one line for the help.
        count: rounds, if nothing else is said.
        minutes: at most, if nothing else is said.
        only: what the choice is of, if there is one: ``job`` gives a flag ``--job``.
    """
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--minutes", type=float, default=minutes)
    if only:
        parser.add_argument(f"--{only}", default="", help=f"only where the name of the {only} holds this")
    options = parser.parse_args()
    began = time.monotonic()
    chosen = [getattr(options, only)] if only else []
    became, faults = campaign(options.seed, options.count, options.minutes, *chosen)
    for what, times in sorted(became.items()):
        print(f"{times:7,}  {what}")
    print(f"{became.total():7,}  in all, in {time.monotonic() - began:.0f} s; {len(faults)} faults")
    for fault in faults:
        print(fault)
    return 1 if faults else 0
