"""What a study asks for: its arms, and the grid of doses, shares of the patients, seeds and folds; and its cells.

Where an arm learns from generated patches, a *replicate* is the whole chain, infiller seed, synthesis seed, classifier
seed: each infiller is trained with several seeds, each has a synthetic set of its own, and each of these its own
classifiers. A *cell* is one classifier: an arm, a dose, a share, an infiller, a classifier seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mammofill.ground.errors import check_setting
from mammofill.ground.seeding import derive_seed
from mammofill.infilling.settings import TrainedInfillerSettings
from mammofill.patches.settings import parts_of

FOLDS = Path("folds")
"""Below it lies what is made within single folds."""
SELECTIONS = ALL, GATED, RANDOM = "all", "gated", "random"
"""Which fills an arm learns from: those that were painted, in their order; those that `select_synthetic` keeps; or, as
the control of these, as many of each class drawn at random."""

_MOST_TRAININGS = 10_000
"""More trainings of one arm are taken for a typing error: at a minute each they take a week, and their steps alone fill
the memory."""


@dataclass(frozen=True)
class Grid:
    """How often, and on what, each arm is trained.

    Attributes:
        infillers: how often each infiller is trained, each time with its own seed and fills; the first uses the study's
            seed. Three show roughly how much infillers of one kind differ, and add that to the intervals.
        classifiers: how many classifiers learn from the fills of each infiller. Arms without generated patches have as
            many classifiers as the others in total, ``infillers`` times ``classifiers``.
        doses: synthetic or repeated patches for each real one, for arms that have them. If empty, all synthetic patches
            that `synthesize` makes are learned from.
        real_shares: shares of the train split's patients; infillers and synthetic patches are made from the same
            patients, unless there are training sets.
        disjoint_shares: at shares below 1, each infiller and the classifier beside it learn from a part of the patients
            that is disjoint from the others' parts, so that the intervals include the random draw of patients.
            Otherwise all learn from the same patients. Not with several classifiers for each infiller: in arms without
            an infiller they would count as so many draws of the patients.
        training_sets: at shares below 1, everything is trained on so many disjoint parts of the patients, with each
            infiller on each part; infillers are trained once for all parts, on the train split's patients in none of
            them, as if a hospital with few patients used another one's infillers. Fills are painted into each part's
            own tissue, with its own outlines; pasted lesions are its own, too. With 0, infillers learn from the same
            patients as the classifiers.
        every_dose_at_every_share: all combinations of doses and shares; otherwise shares below the largest are tried
            only at the dose nearest 1, the smaller if two are equally near.
        folds: everything is made anew within each of so many folds, each of them the test set once, so that every
            patient is tested by a classifier that never saw that patient; 0 tests on the one test split of ingest.
        fold_repeats: how often the patients are divided into folds; each time adds as many replicates again.
        painted_for_each: fills that are painted for each one of the largest dose, if an arm selects among them: a gate
            that refuses half still leaves the full dose. If fewer pass, an arm that selects learns from fewer.
    """

    infillers: int = 1
    classifiers: int = 1
    doses: tuple[float, ...] = ()
    real_shares: tuple[float, ...] = (1.0,)
    disjoint_shares: bool = False
    training_sets: int = 0
    every_dose_at_every_share: bool = False
    folds: int = 0
    fold_repeats: int = 1
    painted_for_each: float = 2.0

    def __post_init__(self) -> None:
        """Raise SettingsError unless numbers are in range, fit together, and do not plan too many trainings."""
        check_setting(self, "infillers", self.infillers >= 1, "at least 1")
        check_setting(self, "classifiers", self.classifiers >= 1, "at least 1")
        positive = all(0 < dose < float("inf") for dose in self.doses) and len(set(self.doses)) == len(self.doses)
        check_setting(self, "doses", positive, "different numbers above 0 (a dose of 0 is the reference arm)")
        shares = self.real_shares
        fits = all(0 < share <= 1 for share in shares) and len(set(shares)) == len(shares) and 1.0 in shares
        check_setting(self, "real_shares", fits, "different numbers in (0, 1], 1 among them")
        most = min((parts_of(share) for share in shares if share < 1), default=self.infillers)
        enough = not self.disjoint_shares or self.infillers <= most
        check_setting(self, "infillers", enough, f"at most {most}, the parts of the largest share below 1")
        alone = self.classifiers == 1 or not self.disjoint_shares
        check_setting(
            self,
            "classifiers",
            alone,
            "1 with disjoint_shares: two of one part are not independent draws of patients",
        )
        parts = min((parts_of(share) for share in shares if share < 1), default=0)
        rest = self.training_sets == 0 or 2 <= self.training_sets < parts
        some = (
            f"2 to {parts - 1}, so that patients are left for infillers"
            if parts > 2
            else "more where the largest share below 1 is at most a third"
        )
        check_setting(self, "training_sets", rest, f"0, or {some}")
        check_setting(
            self, "training_sets", not (self.training_sets and self.folds), "0 with folds, whose training sets overlap"
        )
        either = not (self.training_sets and self.disjoint_shares)
        check_setting(
            self, "training_sets", either, "0 with disjoint_shares, whose infillers learn from each part itself"
        )
        check_setting(self, "folds", self.folds == 0 or self.folds >= 2, "at least 2, or 0 for none")
        check_setting(self, "fold_repeats", self.fold_repeats >= 1, "at least 1")
        check_setting(self, "painted_for_each", self.painted_for_each >= 1, "at least 1")
        check_setting(self, "fold_repeats", self.fold_repeats == 1 or self.folds > 0, "1 where there are no folds")
        cells = max(1, len(self.doses)) * max(1, self.folds) * self.fold_repeats
        trained = cells * sum(self.replicates_at(share) for share in shares)
        few = f"such that each arm is trained at most {_MOST_TRAININGS:,} times in all (it would be {trained:,} times)"
        check_setting(self, "infillers", trained <= _MOST_TRAININGS, few)

    @property
    def replicates(self) -> int:
        """How many classifiers of each arm and dose there are on each training set."""
        return self.infillers * self.classifiers

    def replicates_at(self, share: float) -> int:
        """Return how many there are at a share."""
        return self.replicates * (max(1, self.training_sets) if share < 1 else 1)

    def chains_at(self, share: float) -> Iterator[tuple[int, int]]:
        """Yield the training set and the infiller of each classifier of an arm and dose at a share."""
        for number in range(self.replicates_at(share) // self.replicates):
            yield from ((number, infiller) for infiller in range(self.infillers) for _ in range(self.classifiers))

    def shares_of(self, arm: Arm) -> list[float]:
        """Return the shares at which an arm is trained, the largest first; with further patients at most 0.5."""
        wanted = arm.shares or self.real_shares
        return sorted((one for one in wanted if not arm.more_patients or one <= 0.5), reverse=True)

    def cells_of(self, arm: Arm) -> Iterator[tuple[float, float | None]]:
        """Yield (share, dose) of each cell of an arm, without replicates."""
        has_dose = bool(arm.infiller) or arm.repeated
        doses: tuple[float | None, ...] = self.doses if has_dose and self.doses else (None,)
        usual = min(doses, key=lambda dose: (abs((dose or 1) - 1), dose or 1))
        for share in self.shares_of(arm):
            all_doses = share == 1 or self.every_dose_at_every_share
            yield from ((share, dose) for dose in doses if all_doses or dose == usual)


@dataclass(frozen=True)
class Arm:
    """One kind of classifier of a study."""

    name: str
    infiller: str | None
    """Whose synthetic patches it learns from as well."""
    repeated: bool
    """Whether it learns from real patches again, as often as others do from synthetic ones."""
    settings: Any
    discriminator: str | None = None
    """From whose discriminator it starts."""
    more_patients: bool = False
    """Whether it learns from as many further patients as well: what twice as many real lesions are worth."""
    shares: tuple[float, ...] = ()
    """At which of the grid's shares it is trained; at all where none is named."""
    select: str = ALL
    """Which of the synthetic patches it learns from, of `SELECTIONS`."""

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def has_infiller(self) -> bool:
        """Whether an infiller stands behind it, as painter of patches or as the network that it starts from."""
        return bool(self.infiller or self.discriminator)


@dataclass(frozen=True)
class External:
    """A second source, from which nothing is learned."""

    name: str
    source: Path
    settings: Any
    """Of its ingest."""
    attributes: Path | None = None
    """The table of further attributes of its lesions, if there is one."""


@dataclass(frozen=True)
class Plan:
    """What a study file asks for."""

    source: Path | None
    """Folder of the collection; None for practice mammograms."""
    settings: Mapping[str, Any]
    """Of the stages that stand in a table of their own."""
    infillers: Mapping[str, Any]
    arms: tuple[Arm, ...]
    grid: Grid
    judging: tuple[Arm, ...]
    """The arms whose classifiers judge the infillers, if they are judged: one, and perhaps a standardised one."""
    seed: int
    external: External | None = None
    readers: Any | None = None
    """Settings of the classifiers that read fills, where an arm selects among them."""
    windows: Any | None = None
    """Settings of extract-patches for the windows that trained infillers learn from; None where they have none."""
    starts: Mapping[str, Path] = field(default_factory=dict)
    """Of infillers that start from the weights of another one: where that lies."""
    ready: Mapping[str, Path] = field(default_factory=dict)
    """Of infillers that were trained elsewhere and are used as they are: where they lie."""
    paints_with: Mapping[str, str] = field(default_factory=dict)
    """Of infillers that paint with the weights of another one of the study: its name."""
    attributes: Path | None = None
    """The table of further attributes of the lesions, if there is one."""
    test: External | None = None
    """Where the test patients come from, if they stand in a source of their own."""


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat of a cross-validation."""

    repeat: int
    number: int

    @property
    def place(self) -> Path:
        """Where everything lies that is made within it."""
        return FOLDS / f"r{self.repeat}-f{self.number}"

    def first_replicate(self, plan: Plan) -> int:
        """Return the number of the first of this repeat's classifiers among those of all repeats."""
        return self.repeat * plan.grid.replicates

    def first_infiller(self, plan: Plan) -> int:
        """Return the number of the first of this repeat's infillers among those of all repeats."""
        return self.repeat * plan.grid.infillers


@dataclass(frozen=True)
class Patients:
    """Who is learned from."""

    share: float = 1.0
    """Of the train split's patients."""
    parts: tuple[int, ...] = ()
    """Which of the parts of that share, where they have no patient in common; none where there is one draw only."""
    others: bool = False
    """Whether it is the patients who are in none of these parts."""

    @property
    def place(self) -> Path:
        """Where what is made from them lies."""
        if self.share == 1:
            return Path()
        share = Path(f"shares/{self.share:g}")
        if self.others:
            return share / "others"
        return share / f"part-{'-'.join(map(str, self.parts))}" if self.parts else share


@dataclass(frozen=True)
class Cell:
    """One classifier of a study."""

    arm: Arm
    patients: Patients
    dose: float | None
    infiller: int
    """Number of the infiller behind it, from 0; of no meaning where there is none."""
    replicate: int
    """Number among the classifiers of its arm, dose and share, from 0."""
    slug: str

    @property
    def share(self) -> float:
        """Of the train split's patients; further ones do not count."""
        return self.patients.share


def cells_of(plan: Plan) -> Iterator[Cell]:
    """Yield the cells of a study, arm after arm."""
    for arm in plan.arms:
        for share, dose in plan.grid.cells_of(arm):
            chains = list(plan.grid.chains_at(share))
            for replicate, (number, infiller) in enumerate(chains):
                parts = [arm.slug]
                parts += [f"dose-{dose:g}"] if dose is not None else []
                parts += [f"share-{share:g}"] if share < 1 else []
                parts += [f"set-{number}"] if share < 1 and plan.grid.training_sets else []
                parts += [f"infiller-{infiller}"] if arm.has_infiller and plan.grid.infillers > 1 else []
                parts += [f"seed-{replicate}"] if len(chains) > 1 else []
                who = _drawn(share, number if plan.grid.training_sets else infiller, arm, plan.grid)
                yield Cell(arm, who, dose, infiller, replicate, "_".join(parts))


def _drawn(share: float, number: int, arm: Arm, grid: Grid) -> Patients:
    """Return who the classifiers of a training set, or beside an infiller, learn from."""
    apart = grid.disjoint_shares or grid.training_sets > 0
    if share == 1 or not (apart or arm.more_patients):
        return Patients(share)
    own = number if apart else 0
    # Beside training sets there are others' parts to take: two of these arms must have no patient in common either.
    further = (own + (grid.training_sets or 1)) % parts_of(share)
    return Patients(share, (own, further) if arm.more_patients else (own,))


def folds_of(plan: Plan) -> list[Fold]:
    """Return all folds of all repeats; none where the study has one split."""
    return [Fold(repeat, number) for repeat in range(plan.grid.fold_repeats) for number in range(plan.grid.folds)]


def infiller_seed(seed: int, number: int) -> int:
    """Return the seed of an infiller and of its fills: the study's own for the first, else one derived from it."""
    return derive_seed(seed, "infiller", number) if number else seed


def painted_with(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return whose synthetic patches some arm learns from: patients, infiller, number."""
    cells = cells_of(plan)
    found = [(cell.patients, cell.arm.infiller, cell.infiller) for cell in cells if cell.arm.infiller is not None]
    return list(dict.fromkeys(found))


def used_infillers(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return all infillers that something is made with: the patients that each learns from, infiller, number."""
    seen_through = [
        (cell.patients, cell.arm.discriminator, cell.infiller) for cell in cells_of(plan) if cell.arm.discriminator
    ]
    judged = [(Patients(), name, 0) for name in judged_infillers(plan) if plan.judging]
    used = [(learns_from(who, name, plan), name, number) for who, name, number in (*painted_with(plan), *seen_through)]
    used += judged
    lending = [(who, plan.paints_with[name], number) for who, name, number in used if name in plan.paints_with]
    return list(dict.fromkeys([*lending, *used]))


def learns_from(who: Patients, name: str, plan: Plan) -> Patients:
    """Return whom an infiller learns from that paints for some patients: these, or all who are in no training set.

    One that is not trained keeps lesions and no more: those of the patients for whom it pastes.
    """
    apart = (
        plan.grid.training_sets if who.share < 1 and isinstance(plan.infillers[name], TrainedInfillerSettings) else 0
    )
    return Patients(who.share, tuple(range(apart)), others=True) if apart else who


def pastes_own(cell: Cell, plan: Plan) -> bool:
    """Say whether the fills of a cell come from an infiller that knows the lesions of the cell's training set alone."""
    painters = [name for name in (cell.arm.infiller, cell.arm.discriminator) if name]
    alike = all(learns_from(cell.patients, name, plan) == cell.patients for name in painters)
    return bool(plan.grid.training_sets and cell.share < 1 and painters and alike)


def training_set_of(cell: Cell, plan: Plan) -> int | None:
    """Return the number of a cell's training set, where there are several with nobody in common."""
    grid, parts = plan.grid, cell.patients.parts
    apart = grid.training_sets > 0 or (grid.disjoint_shares and not cell.arm.more_patients)
    return parts[0] if parts and apart and not grid.folds else None


def trained_infillers(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return those of them that the study trains."""
    return [(who, name, number) for who, name, number in used_infillers(plan) if name not in plan.ready]


def patients_selected_from(plan: Plan) -> list[Patients]:
    """Return from whose fills some arm selects."""
    return list(dict.fromkeys(cell.patients for cell in cells_of(plan) if cell.arm.select != ALL))


def judged_infillers(plan: Plan) -> list[str]:
    """Return the infillers that are measured, if any are: those that arms use, or all.

    Of one that keeps a part of real lesions it is the one that lends its weights: a judge would see what is real.
    """
    names = [name for who, name, _ in painted_with(plan) if who.share == 1] or list(plan.infillers)
    painters = dict.fromkeys(plan.paints_with.get(name, name) for name in names)
    return [name for name in painters if not paints_over_own(name, plan)]


def is_judged(name: str, plan: Plan) -> bool:
    """Say whether the study judges an infiller, or the one with whose weights it paints."""
    return bool(plan.judging) and plan.paints_with.get(name, name) in judged_infillers(plan)


def trained_here(arm: Arm, plan: Plan) -> bool:
    """Say whether an infiller stands behind an arm that the study trains itself, as often as the grid says."""
    return any(name and name not in plan.ready for name in (arm.infiller, arm.discriminator))


def paints_over_own(name: str, plan: Plan) -> bool:
    """Say whether an infiller keeps a part of real lesions, and so paints over these in their own outlines."""
    return bool(plan.infillers[name].begin_time < 1)
