"""Settings of synthesis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_choice, check_setting


@dataclass(frozen=True)
class SynthesizeSettings:
    """How many synthetic patches are made, and of which class.

    If no counts are given, real and synthetic lesion patches of the train split together have as many benign as
    malignant ones, with at least `ratio` synthetic patches for each real one: "relatively small amounts of synthetic
    images while simultaneously balancing" (the paper, section 5). The smaller class gets more of them, but both get
    some if `ratio` allows, so that being synthetic does not reveal the class.

    Attributes:
        ratio: synthetic lesion patches for each real one, at least; more if balance needs them. The default is ours.
        balance: bring both classes to equal counts; otherwise each gets its share among the real ones.
        benign: make exactly this many benign patches; unset, the number follows from ratio and balance.
        malignant: the same for malignant patches.
        requested_class: donor requests the class of the lesion that lends the mask, whose outline reveals it; other
            requests the other class (counterfactual); both requests each class in turn, with the same context, mask and
            seed, so that the two patches differ only in the class: as many of each class as the two counts together.
        fills_per_pair: most fills of one pair, each with its own seed; a pair is used again only when all pairs of its
            class are used up, and the number of such fills is recorded.
        unjudged: fill knowingly without a judgement of the infiller: for controls whose class is not meant to be
            painted, and if nothing can judge. Recorded in the lineage. Without it, a missing judgement gives a warning.
        bits: bits per pixel in the store; 16 keeps all, 8 takes a quarter of the space.
        patches_per_shard: patches that share one file; also the unit that is redone after a stop.
    """

    ratio: float = 0.25
    balance: bool = True
    benign: int | None = None
    malignant: int | None = None
    requested_class: Literal["donor", "other", "both"] = "donor"
    fills_per_pair: int = 4
    unjudged: bool = False
    bits: Literal[8, 16] = 16
    patches_per_shard: int = 512

    def __post_init__(self) -> None:
        """Raise SettingsError unless the requested class is known and numbers are in range."""
        check_setting(self, "ratio", math.isfinite(self.ratio) and self.ratio >= 0, "a number, at least 0")
        check_setting(self, "benign", self.benign is None or self.benign >= 0, "at least 0, or unset")
        check_setting(self, "malignant", self.malignant is None or self.malignant >= 0, "at least 0, or unset")
        check_choice(self, "requested_class", "donor", "other", "both")
        check_setting(self, "fills_per_pair", self.fills_per_pair >= 1, "at least 1")
        check_setting(self, "bits", self.bits in (8, 16), "8 or 16")
        check_setting(self, "patches_per_shard", self.patches_per_shard >= 1, "at least 1")

    def why(self, real: dict[str, int], made: dict[str, int]) -> str:
        """Explain the numbers of synthetic patches of each class.

        Args:
            real: number of real lesion patches of each class in the train split.
            made: number made of each class.
        """
        reasons = [f"{name} = {getattr(self, name)} asks for it" for name in made if getattr(self, name) is not None]
        if len(reasons) < len(made):
            least = f"ratio = {self.ratio:g} asks for at least {round(self.ratio * sum(real.values()))} in all"
            share = f"ratio = {self.ratio:g} of the real ones of each class"
            reasons.append(f"{least}, and balance for as many benign as malignant ones" if self.balance else share)
        if self.requested_class == "both":
            reasons.append("requested_class = both fills each of these once for either class")
        of_real, of_made = (", ".join(f"{count} {name}" for name, count in counts.items()) for counts in (real, made))
        return f"{of_real} real lesion patches to learn from; {of_made} synthetic ones are made: {'; '.join(reasons)}."

    def counts_for(self, real: dict[str, int]) -> dict[str, int]:
        """Return how many synthetic patches of each class are to be made.

        Args:
            real: number of real lesion patches of each class in the train split, ``benign`` and ``malignant``.
        """
        total = round(self.ratio * sum(real.values()))
        benign, malignant = real["benign"], real["malignant"]
        if self.balance:
            total = max(total, abs(benign - malignant))
            total += (total + benign + malignant) % 2  # an odd sum cannot be halved
            goal = (total + benign + malignant) // 2
            wanted = {"benign": goal - benign, "malignant": goal - malignant}
        else:
            wanted = {name: round(self.ratio * count) for name, count in real.items()}
        given = {"benign": self.benign, "malignant": self.malignant}
        return {name: wanted[name] if count is None else count for name, count in given.items()}
