"""The table of stages: one row says all that the command line, study files, tests and docs need to know of a stage.

A new stage is one row and one room: a row here, or in any installed package as an entry point of the group
``mammofill.stages`` that names a `Stage`. Nothing is imported until it is used: places are written as
``"module:name"``, so that the table itself costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from mammofill.ground.artifact import Artifact, read_manifest, verify
from mammofill.ground.errors import ArtifactError, SettingsError, SourceError, WrongKindError, did_you_mean
from mammofill.ground.extensions import with_extensions
from mammofill.ground.file_names import meant_path, refuse_source_url, url_of_source, why_no_file


@dataclass(frozen=True)
class Input:
    """One thing that a stage is made from."""

    role: str
    """Its name, on the command line and in ``artifact.json``."""
    kind: str
    """Place of the artifact's class, or `SOURCE`: files that somebody else made."""
    several: bool = False
    """Whether the stage takes one or more of them."""
    optional: bool = False
    """Whether the stage does without: then it is a flag on the command line, and an argument by name in Python."""
    words: str = ""
    """What it is, for the help; empty says it by its kind."""
    in_store: bool = False
    """Whether a source may also be the URL of a collection in an object store."""

    def open(self, path: str | Path) -> Artifact | Path:
        """Open what is at a path: the artifact of the right kind, or the path itself for a source.

        Raises:
            ArtifactError: there is no such artifact, or one of another kind.
            SourceError: the source does not exist, or is a URL that is not understood here.
        """
        if self.kind != SOURCE:
            artifact: Artifact = find(self.kind).open(path)
            verify(artifact)  # before anything of it is read
            return artifact
        if self.in_store and url_of_source(path):
            return Path(path)  # what is there, the stage will see
        refuse_source_url(path)
        if not Path(path).exists():
            meant = "" if Path(path).is_symlink() else meant_path(Path(path))
            raise SourceError(f"{path} {why_no_file(Path(path))}.{meant} Give the folder (or table) of the collection.")
        if not (Path(path).is_dir() or Path(path).is_file()):  # whoever opens a pipe or a device may wait for ever
            raise SourceError(f"{path} {why_no_file(Path(path), 'a folder or a file')}.")
        return Path(path)


SOURCE = "source"


@dataclass(frozen=True)
class Stage:
    """One row of the table."""

    name: str
    """What the command line calls it: verb and noun."""
    summary: str
    """One line for the list of commands."""
    function: str
    """Place of the stage function."""
    settings: str
    """Place of its settings class."""
    inputs: tuple[Input, ...]
    """In the order in which the function takes them; optional ones by name."""
    output: str
    """Place of the class of artifact that it makes."""
    device: bool = False
    """Whether it runs networks and therefore takes a device."""
    presets: str | None = None
    """Place of a mapping from names to settings, for stages whose settings come in well-known sets."""
    leading: str | None = None
    """A settings field that the command line takes first and without a flag, as in ``ingest cbis-ddsm SOURCE``."""

    def settings_class(self) -> type[Any]:
        """Import the settings class; presets may be of others that share its stage."""
        found: type[Any] = find(self.settings)
        return found

    def preset(self, name: str) -> Any:
        """Return the settings of a preset.

        Raises:
            SettingsError: the stage has no preset of this name.
        """
        presets: Mapping[str, Any] = find(self.presets) if self.presets else {}
        if name not in presets:
            known = ", ".join(presets) or "none"
            meant = did_you_mean(name, presets)
            raise SettingsError(f"{self.name} has no preset called {name!r}.{meant} Its presets: {known}.")
        return presets[name]

    def open_all(self, given: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
        """Open everything that the command line names.

        Args:
            given: role -> path, or paths where the stage takes several.

        Returns:
            Role -> artifact or path, or a list of them.

        Raises:
            WrongKindError: an artifact of another kind; the message says the right order where there is one.
            ArtifactError: there is no such artifact.
            SourceError: a source does not exist.
        """
        try:
            return {
                one.role: one.open(paths) if isinstance(paths, str) else [one.open(path) for path in paths]
                for one in self.inputs
                for paths in [given[one.role]]
            }
        except WrongKindError as error:
            raise WrongKindError(f"{error}{self._right_order(given)}") from error

    def _right_order(self, given: Mapping[str, str | Sequence[str]]) -> str:
        """Say which order and flags of what was given would be right; which kinds are needed, where none would be."""
        inputs = sorted(self.inputs, key=lambda one: one.optional)
        kinds: dict[str, list[str]] = {}
        for one in inputs:
            paths = given[one.role]
            for path in [paths] if isinstance(paths, str) else paths:
                try:
                    kinds.setdefault(read_manifest(Path(path)).kind, []).append(path)
                except ArtifactError:
                    return ""
        ordered: list[str] = []
        lacking = []
        for one in inputs:
            kind = find(one.kind).kind if one.kind != SOURCE else ""
            fitting = kinds.get(kind, [])
            taken, kinds[kind] = (fitting, []) if one.several else (fitting[:1], fitting[1:])
            ordered += [f"--{one.role}", *taken] if one.optional and taken else taken
            lacking += [one] if not taken and not one.optional else []
        if not lacking and not any(kinds.values()):
            return f" In the right order: mammofill {self.name} {' '.join(ordered)} --out DIR"
        roles = [
            f"{'--' * one.optional}{one.role} ({'a source' if one.kind == SOURCE else find(one.kind).kind})"
            for one in inputs
        ]
        needed = len([one for one in inputs if not one.optional])
        flags = f"; and, where wanted, {', '.join(roles[needed:])}" if roles[needed:] else ""
        return f" {self.name} takes, in this order: {', '.join(roles[:needed])}{flags}."

    def open_output(self, folder: Path) -> Artifact:
        """Open what the stage made.

        Raises:
            ArtifactError: there is none, or one of another kind.
        """
        artifact: Artifact = find(self.output).open(folder)
        return artifact

    def __call__(self, inputs: Mapping[str, Any], out: Path, settings: Any, **how: Any) -> Artifact:
        """Run the stage.

        Args:
            inputs: role -> opened artifact, list of them where the stage takes several, or path of a source; what is
                optional may be missing.
            out: folder of the new artifact.
            settings: of the stage's settings class.
            how: seed, progress, and device for stages that take one.

        Returns:
            The finished artifact.
        """
        function: Callable[..., Artifact] = find(self.function)
        if not self.device:
            how.pop("device", None)
        needed = [inputs[one.role] for one in self.inputs if not one.optional]
        given = {one.role: inputs[one.role] for one in self.inputs if one.optional and inputs.get(one.role)}
        return function(*needed, out, settings, **given, **how)


_PATCHES = "mammofill.patches:PatchSet"
_PAIRS = "mammofill.pairing:Pairs"
_INFILLER = "mammofill.infilling:Infiller"
_CLASSIFIER = "mammofill.classifier:Classifier"
_EVALUATION = "mammofill.evaluation:Evaluation"
_JUDGEMENT = "mammofill.judging:Judgement"

STAGES: tuple[Stage, ...] = (
    Stage(
        name="ingest",
        summary="read a collection of mammograms: one clean set, split by patient",
        function="mammofill.mammograms:ingest",
        settings="mammofill.mammograms:IngestSettings",
        inputs=(
            Input("source", SOURCE, words="folder (or table) of the collection, or its URL in a store", in_store=True),
            Input("attributes", SOURCE, optional=True, words="table of further attributes of the lesions, by image"),
        ),
        output="mammofill.mammograms:MammogramSet",
        leading="collection",
    ),
    Stage(
        name="extract-patches",
        summary="cut windows from mammograms and label them from the lesion masks",
        function="mammofill.patches:extract_patches",
        settings="mammofill.patches:ExtractPatchesSettings",
        inputs=(Input("mammograms", "mammofill.mammograms:MammogramSet"),),
        output=_PATCHES,
    ),
    Stage(
        name="select-patches",
        summary="keep a share of the patients to learn from, as if there had been no more",
        function="mammofill.patches:select_patches",
        settings="mammofill.patches:SelectPatchesSettings",
        inputs=(Input("patches", _PATCHES),),
        output=_PATCHES,
    ),
    Stage(
        name="pair-patches",
        summary="pair each normal patch with a lesion patch whose mask it borrows",
        function="mammofill.pairing:pair_patches",
        settings="mammofill.pairing:PairPatchesSettings",
        inputs=(Input("patches", _PATCHES),),
        output=_PAIRS,
    ),
    Stage(
        name="train-infiller",
        summary="train an infiller (the paper's GAN, a flow, ...) on real lesion patches",
        function="mammofill.infilling:train_infiller",
        settings="mammofill.infilling:GanSettings",
        inputs=(
            Input("patches", _PATCHES),
            Input("pairs", _PAIRS),
            Input("windows", _PATCHES, optional=True),
            Input("start", _INFILLER, optional=True),
        ),
        output=_INFILLER,
        device=True,
        presets="mammofill.infilling:PRESETS",
    ),
    Stage(
        name="synthesize",
        summary="paint benign and malignant lesions into normal patches",
        function="mammofill.synthesis:synthesize",
        settings="mammofill.synthesis:SynthesizeSettings",
        inputs=(
            Input("infiller", _INFILLER),
            Input("pairs", _PAIRS),
            Input("patches", _PATCHES),
            Input("judgement", _JUDGEMENT, optional=True),
        ),
        output=_PATCHES,
        device=True,
    ),
    Stage(
        name="select-synthetic",
        summary="keep the fills that are as good as most real lesions, and say why the others are refused",
        function="mammofill.selection:select_synthetic",
        settings="mammofill.selection:SelectSyntheticSettings",
        inputs=(
            Input("synthetic", _PATCHES, words="finished folder of synthetic patches"),
            Input("patches", _PATCHES, words="finished folder of the patches that they were painted into"),
            Input("classifiers", _CLASSIFIER, several=True, words="finished classifier folder"),
        ),
        output=_PATCHES,
        device=True,
    ),
    Stage(
        name="train-classifier",
        summary="train a classifier, malignant against benign, on real and synthetic patches",
        function="mammofill.classifier:train_classifier",
        settings="mammofill.classifier:TrainClassifierSettings",
        inputs=(
            Input("patches", _PATCHES, several=True),
            Input("infiller", _INFILLER, optional=True),
            Input(
                "trained",
                _CLASSIFIER,
                several=True,
                optional=True,
                words="with synthetic_if_better: classifiers trained before without or with the same synthetic patches",
            ),
        ),
        output=_CLASSIFIER,
        device=True,
        presets="mammofill.classifier:PRESETS",
    ),
    Stage(
        name="evaluate",
        summary="score the test patches and measure, with intervals that resample patients",
        function="mammofill.evaluation:evaluate",
        settings="mammofill.evaluation:EvaluateSettings",
        inputs=(Input("classifier", _CLASSIFIER), Input("patches", _PATCHES)),
        output=_EVALUATION,
        device=True,
    ),
    Stage(
        name="pool-folds",
        summary="pool the evaluations of all folds of a cross-validation: each patient scored once, unseen",
        function="mammofill.evaluation:pool_folds",
        settings="mammofill.evaluation:PoolFoldsSettings",
        inputs=(Input("evaluations", _EVALUATION, several=True),),
        output=_EVALUATION,
    ),
    Stage(
        name="compare-arms",
        summary="compare evaluations of one test set, over patients and training, and say what was shown",
        function="mammofill.comparison:compare_arms",
        settings="mammofill.comparison:CompareArmsSettings",
        inputs=(
            Input("evaluations", _EVALUATION, several=True),
            Input(
                "plans", SOURCE, several=True, optional=True, words="file of the plan, as a study keeps it in plans/"
            ),
        ),
        output="mammofill.comparison:Comparison",
    ),
    Stage(
        name="judge-infiller",
        summary="measure whether infillers paint lesions of the requested class, where requested, and nothing else",
        function="mammofill.judging:judge_infiller",
        settings="mammofill.judging:JudgeInfillerSettings",
        inputs=(
            Input("infillers", _INFILLER, several=True),
            Input("classifier", _CLASSIFIER),
            Input("patches", _PATCHES),
            Input("pairs", _PAIRS),
            Input("standardised", _CLASSIFIER, optional=True),
            Input("phantoms", "mammofill.phantom:PhantomCollection", optional=True),
        ),
        output=_JUDGEMENT,
        device=True,
    ),
    Stage(
        name="write-report",
        summary="write one HTML page that compares evaluations and shows what they came from",
        function="mammofill.report:write_report",
        settings="mammofill.report:WriteReportSettings",
        inputs=(
            Input("evaluations", _EVALUATION, several=True),
            Input("comparisons", "mammofill.comparison:Comparison", several=True, optional=True),
            Input("judgements", _JUDGEMENT, several=True, optional=True),
        ),
        output="mammofill.report:Report",
    ),
)
"""Our stages, in the order in which a mammogram walks through them."""

PHANTOM = Stage(
    name="phantom",
    summary="make practice mammograms, as DICOM files in the layout of CBIS-DDSM",
    function="mammofill.phantom:write_phantoms",
    settings="mammofill.phantom:PhantomSettings",
    inputs=(),
    output="mammofill.phantom:PhantomCollection",
)
"""Makes practice mammograms for use without real ones; not part of the chain of stages, but of the same form."""

EXPORTS: tuple[Stage, ...] = (
    Stage(
        name="export-dicom",
        summary="paste synthetic lesions into their mammograms and write them as DICOM images, marked as synthetic",
        function="mammofill.export:export_dicom",
        settings="mammofill.export:ExportDicomSettings",
        inputs=(
            Input("patches", _PATCHES, words="finished folder of synthetic patches"),
            Input("mammograms", "mammofill.mammograms:MammogramSet", optional=True),
            Input("collection", SOURCE, optional=True, words="moved collection folder"),
        ),
        output="mammofill.export:DicomExport",
    ),
    Stage(
        name="export-infiller",
        summary="make a package of an infiller for others: weights, model card, the layout that medigan asks for",
        function="mammofill.export:export_infiller",
        settings="mammofill.export:ExportInfillerSettings",
        inputs=(Input("infiller", _INFILLER), Input("judgement", _JUDGEMENT, optional=True)),
        output="mammofill.export:InfillerPackage",
    ),
    Stage(
        name="export-patches",
        summary="make a data set of synthetic patches for others, with a dataset card",
        function="mammofill.export:export_patches",
        settings="mammofill.export:ExportPatchesSettings",
        inputs=(Input("patches", _PATCHES, words="finished folder of synthetic patches"),),
        output="mammofill.export:PatchPackage",
    ),
)
"""What was made goes out to others; no stage of a study takes it in again, so studies do not name them."""


ENTRY_POINTS = "mammofill.stages"
"""Group of entry points under which other packages offer stages; each names a `Stage`."""


@cache
def all_stages() -> Mapping[str, Stage]:
    """Return all stages by name: ours, practice mammograms and exports last, then those of other installed packages.

    Raises:
        SettingsError: an entry point that is no stage, or of the name of another; see `with_extensions`.
    """
    return with_extensions((*STAGES, PHANTOM, *EXPORTS), ENTRY_POINTS, Stage)


def stage_named(name: str) -> Stage:
    """Return the row of a stage.

    Raises:
        KeyError: there is no such stage.
    """
    return all_stages()[name]


def find(place: str) -> Any:
    """Import ``"module:name"`` and return it."""
    module, name = place.split(":")
    return getattr(import_module(module), name)
