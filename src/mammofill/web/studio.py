"""State of the studio: open artifacts, caches and the paint queue; everything that its responses are made from."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import MANIFEST_NAME, Manifest
from mammofill.ground.errors import ArtifactError, MammofillError, SettingsError, SourceError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import Infiller
from mammofill.infilling.conditions import FACTS
from mammofill.judging import Judgement
from mammofill.mammograms import MammogramSet
from mammofill.patches import Patch, PatchSet, Place
from mammofill.patches.chosen_windows import CUT_STAGE
from mammofill.readers import ReaderStudy, open_study
from mammofill.synthesis import (
    HandFill,
    hole_for,
    keep_painted,
    keep_painted_windows,
    over_own,
    paint_patch,
    patch_of,
    refusal,
    windows_for,
)
from mammofill.synthesis.by_hand import STAGE, TISSUE
from mammofill.web.bodies import KeepRequest, KeptFill, PaintRequest, Target, WindowRequest
from mammofill.web.folder_index import FolderIndex, inputs_of
from mammofill.web.painting import FillRequest, PaintQueue
from mammofill.web.pictures import Tiles
from mammofill.web.windows import Windows

PAGE = 120
"""Maximum number of patches or mammograms in one response."""
_MOST_CHECKED = 120
"""Maximum number of patches that one request checks for whether they can be painted into."""
_MOST_OUTLINES = 600
"""Maximum number of masks that are checked for outlines to offer."""
_ALL_BREAST = 0.97
"""Share of a normal patch that breast must cover, so that there is tissue wherever a lesion may be drawn."""
_SETTINGS_WITH_NAMES = {STAGE: ("fills",), CUT_STAGE: ("places",)}
"""Settings, by stage, with identifiers of patches or mammograms, which mostly contain the patient's."""
STUDY = ".readers.sqlite"
"""Suffix of the files of reader studies."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Studio:
    """Everything that the responses are made from."""

    def __init__(self, folder: Path, device: str = "cpu", name_patients: bool = False) -> None:
        self.index = FolderIndex(folder)
        self.queue = PaintQueue()
        self.tiles = Tiles()
        self.windows = Windows()
        self.device = device
        self.name_patients = name_patients
        self._patients: dict[str, int] = {}
        self._paintable: dict[tuple[str, str], NDArray[np.float64]] = {}
        """Fingerprints of a patch set and an infiller -> for each patch, whether it can be painted into (1 or 0, NaN if
        not checked yet)."""
        self._readers: dict[str, ReaderStudy] = {}

    # ---- patches

    def patches(self, name: str) -> PatchSet:
        """Open a patch set by its id."""
        return self.index.open(name, PatchSet)

    def chosen(self, patches: PatchSet, filters: Mapping[str, str]) -> NDArray[np.int64]:
        """Return the rows that match the page's filters; an empty filter matches all."""
        rows = patches.rows(**{name: word for name, word in filters.items() if word and name != "patient_id"})
        if not filters.get("patient_id"):
            return rows
        if not self.name_patients:
            raise SettingsError("Patients are not looked for by name here: open the studio with --name-patients.")
        of = patches.table["patient_id"].str.contains(filters["patient_id"], case=False, regex=False)
        return rows[of.fillna(False).to_numpy(dtype=bool)[rows]]

    def whole(
        self, patches: PatchSet, rows: NDArray[np.int64], least: int, infiller: Infiller | None = None
    ) -> tuple[NDArray[np.int64], int]:
        """Return the first patches that can be painted into: all breast, or with a lesion that no border cuts.

        Each call checks at most `_MOST_CHECKED` patches; the page calls again if it needs more.

        Args:
            patches: the set.
            rows: of the patches to check, in this order.
            least: stop when so many were found. Each mask is decoded once.
            infiller: whose hole over a lesion must lie in the patch, too.

        Returns:
            Rows found so far, and the number of rows not checked yet.
        """
        if infiller is not None and infiller.size_px != patches.size_px:
            infiller = None  # it fits none of them; the page shows an error once a patch is chosen
        key = patches.fingerprint, infiller.fingerprint if infiller else ""
        known = self._paintable.setdefault(key, np.full(len(patches.table), np.nan))
        new = np.flatnonzero(np.isnan(known[rows]))
        if len(new) and (known[rows[: new[0]]] == 1).sum() < least:
            some = rows[new[:_MOST_CHECKED]]
            known[some] = self._can_be_painted_into(patches, some, infiller)
            new = new[_MOST_CHECKED:]
        checked = rows[: new[0]] if len(new) else rows
        found: NDArray[np.int64] = checked[known[checked] == 1]
        return found, len(new)

    def _can_be_painted_into(
        self, patches: PatchSet, rows: NDArray[np.int64], infiller: Infiller | None
    ) -> NDArray[np.bool_]:
        """Return which patches can be painted into. The lock is not held while holes are computed."""
        table = patches.table.iloc[rows]
        tissue = table["breast_share"].to_numpy(dtype=float) >= _ALL_BREAST
        normal = (table["pathology"] == "normal").to_numpy(dtype=bool)
        with self.index.lock:
            masks = patches.masks(rows)
        over = np.array([not touches_border(mask) for mask in masks], np.bool_)
        if infiller is not None:
            lesions = np.flatnonzero(~normal & over)
            with self.index.lock:
                breasts = patches.breasts(rows[lesions])
            for number, breast in zip(lesions, breasts, strict=True):
                over[number] = _can_be_painted_over(masks[number], breast, infiller)
        return np.where(normal, tissue, over)

    def outlines(self, patches: PatchSet, pathology: str, infiller: Infiller) -> list[int]:
        """Return rows of training patches, one of each lesion, whose centred outline an infiller can repaint.

        Args:
            patches: that the infiller learned from.
            pathology: of the lesions.
            infiller: whose hole must lie in the patch.
        """
        rows = patches.rows(split="train", origin="real", pathology=pathology)
        table = patches.table.iloc[rows]
        # A patch without lesion ids counts as a lesion of its own.
        table = table.assign(lesion=table["lesion_ids"].fillna("").where(lambda ids: ids != "", table["patch_id"]))
        windows = table.groupby("lesion", sort=False)["lesion"]
        # Windows of a lesion are ordered by place: those in the middle contain the whole lesion.
        off = (windows.cumcount() - windows.transform("size") // 2).abs().to_numpy()
        middle_first = np.argsort(off, kind="stable")[:_MOST_OUTLINES]
        fits = [_can_be_placed(mask, infiller) for mask in patches.masks(rows[middle_first])]
        some = table.assign(row=rows).iloc[middle_first[np.array(fits, np.bool_)]]
        return [int(row) for row in some.drop_duplicates("lesion")["row"]]

    def rows(self, patches: PatchSet, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return the facts of some patches that the page shows."""
        columns = ["patch_id", "patient_id", "pathology", "abnormality", "split", "origin", "density", "seed"]
        table = patches.table.iloc[rows][columns].astype(object)
        records = table.where(table.notna(), None).to_dict("records")
        return [{"row": int(row)} | self._named({str(key): value for key, value in one.items()})
                for row, one in zip(rows, records, strict=True)]  # fmt: skip

    def patient(self, patient_id: str) -> str:
        """Return the name of a patient on the page: the identifier with `name_patients`, else a number.

        Patients are numbered in the order in which they are first shown, across all sets, until the studio closes.
        """
        if self.name_patients:
            return patient_id
        return f"patient {self._patients.setdefault(patient_id, len(self._patients) + 1)}"

    def _named(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not self.name_patients:
            facts = {name: value for name, value in facts.items() if name != "patch_id"}
        return facts | {"patient_id": self.patient(str(facts["patient_id"]))}

    def settings(self, manifest: Manifest) -> dict[str, Any]:
        """Return the settings of an artifact, without those that identify patients unless `name_patients` is set."""
        names = () if self.name_patients else _SETTINGS_WITH_NAMES.get(manifest.stage, ())
        hidden = {name: f"{len(manifest.settings[name])}, not shown: they name patients" for name in names}
        return dict(manifest.settings) | hidden

    def row(self, patches: PatchSet, row: int) -> int:
        """Return a row of a patch set after a check that it exists."""
        if not 0 <= row < len(patches.table):
            raise SettingsError(f"There is no patch {row}: the set holds {len(patches.table)}.")
        return row

    def mask(self, side: int, encoded: str) -> NDArray[np.bool_]:
        """Decode a mask of (side, side) bits in base64; its length must match exactly."""
        try:
            bits = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise SettingsError("The mask is no base64.") from error
        if len(bits) != (side * side + 7) // 8:
            raise SettingsError(
                f"The mask has {len(bits)} bytes; one of {side} px a side has {(side * side + 7) // 8}."
            )
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=side * side).reshape(side, side).astype(np.bool_)

    def own_patches(self, name: str) -> PatchSet:
        """Open a patch set for one task only: its files are not shared with other threads."""
        return PatchSet.open(self.index.place(name))

    # ---- mammograms

    def mammogram(self, mammograms: MammogramSet, number: int) -> str:
        """Return the identifier of a mammogram by its number."""
        if not 0 <= number < len(mammograms.mammograms):
            raise SourceError("There is no such mammogram.")
        return str(mammograms.mammograms["mammogram_id"].iloc[number])

    def place(self, request: WindowRequest) -> tuple[MammogramSet, Place]:
        """Return the mammograms and the place of a window."""
        mammograms = self.index.open(request.mammograms, MammogramSet)
        return mammograms, Place(self.mammogram(mammograms, request.number), request.top, request.left)

    def window(self, mammograms: MammogramSet, place: Place, infiller: Infiller) -> Patch:
        """Return a window, cut with the settings of the infiller's patches."""
        with self.index.lock, self.unnamed(place.mammogram_id, called="This mammogram"):
            return self.windows.cut(mammograms, place, windows_for(infiller))

    @contextmanager
    def unnamed(self, *names: str, called: str = "This patch") -> Iterator[None]:
        """Remove identifiers of patches or mammograms from error messages, unless `name_patients` is set."""
        try:
            yield
        except MammofillError as error:
            if self.name_patients:
                raise
            words = str(error)
            for name in names:
                words = words.replace(f"Patch {name}", called).replace(name, called)
            raise type(error)(words) from None

    # ---- painting

    def patch(self, request: Target, infiller: Infiller) -> Patch:
        """Return the patch or window that the mask lies on."""
        if request.window is not None:
            return self.window(*self.place(request.window), infiller)
        patches = self.patches(request.patches)
        with self.index.lock:
            return patch_of(patches, self.row(patches, request.row))

    def requests(self, request: PaintRequest) -> list[FillRequest]:
        """Return the fills to paint, infiller by infiller, of the classes that each learned from.

        Raises:
            SettingsError: no infiller learned from a requested class, or the mask may not be filled.
        """
        requests = [fills for name in request.infillers for fills in self._requests(request, name)]
        if not requests:
            words = " or ".join(sorted({one.pathology for one in request.fills}))
            raise SettingsError(f"No infiller that is asked learned from {words} lesions: it cannot paint them.")
        return requests

    def _requests(self, request: PaintRequest, name: str) -> Iterator[FillRequest]:
        infiller = self.index.open(name, Infiller)
        patch = self.patch(request, infiller)
        mask = self.mask(len(patch.image), request.mask)
        reason = refusal(mask, patch, infiller)
        if reason:
            raise SettingsError(f"{infiller.folder.name}: {reason}")
        guided = request.guidance is not None and infiller.guidance is not None
        painter = infiller.with_guidance(float(request.guidance or 0)) if guided else infiller
        known = {fact: word for fact, word in request.facts.items() if fact in infiller.conditions[1:]}
        context = str(patch.facts["patch_id"])
        together = infiller.fills_at_once(self.device)
        learned = [one for one in request.fills if infiller.classes_learned.get(one.pathology)]
        for start in range(0, len(learned), together):
            some = learned[start : start + together]
            fills = [HandFill(context, mask, one.pathology, one.seed, facts=known) for one in some]
            descriptions = [{"infiller": name, "pathology": one.pathology, "seed": one.seed} for one in some]
            yield FillRequest(descriptions, partial(self._painted, painter, patch, fills))

    def _painted(self, painter: Infiller, patch: Patch, fills: Sequence[HandFill]) -> NDArray[np.uint16]:
        with self.unnamed(str(patch.facts["patch_id"])):
            return paint_patch(painter, patch, fills, device=self.device)

    def keep(self, request: KeepRequest) -> PatchSet:
        """Keep fills as a new patch set in `FOLDER/studio`."""
        windows = [one.window for one in request.fills if one.window is not None]
        if not windows:
            return self._keep_patches(request)
        if len(windows) < len(request.fills) or len({one.mammograms for one in windows}) > 1:
            raise SettingsError(
                "A set has tissue of one kind: keep fills of patches, and those of each set of mammograms, apart."
            )
        return self._keep_windows(request, windows)

    def _keep_patches(self, request: KeepRequest) -> PatchSet:
        infiller, out = self.index.open(request.infiller, Infiller), self.new_place(request.name)
        patches = self.own_patches(request.patches)
        contexts = [_patch_id(patches, self.row(patches, one.row)) for one in request.fills]
        fills = [
            self._fill(one, context, patches.size_px, patches)
            for one, context in zip(request.fills, contexts, strict=True)
        ]
        with self.unnamed(*_names(fills)):
            return keep_painted(infiller, patches, fills, out, guidance=request.guidance, device=self.device)

    def _keep_windows(self, request: KeepRequest, windows: list[WindowRequest]) -> PatchSet:
        infiller, out = self.index.open(request.infiller, Infiller), self.new_place(request.name)
        self.new_place(request.name, TISSUE)
        found = [self.place(one) for one in windows]
        contexts = [str(self.window(*one, infiller).facts["patch_id"]) for one in found]
        lent = any(one.donor_row is not None for one in request.fills)
        outlines = self.own_patches(request.patches) if lent else None
        fills = [
            self._fill(one, context, infiller.size_px, outlines)
            for one, context in zip(request.fills, contexts, strict=True)
        ]
        mammograms, places = found[0][0], [place for _, place in found]
        with self.unnamed(*_names(fills)):
            return keep_painted_windows(
                infiller,
                mammograms,
                places,
                fills,
                out,
                outlines=outlines,
                guidance=request.guidance,
                device=self.device,
            )

    def _fill(self, one: KeptFill, context: str, side: int, outlines: PatchSet | None) -> HandFill:
        donor = None
        if one.donor_row is not None and outlines is not None:
            donor = _patch_id(outlines, self.row(outlines, one.donor_row))
        return HandFill(context, self.mask(side, one.mask), one.pathology, one.seed, donor, one.facts)

    def new_place(self, name: str, suffix: str = "") -> Path:
        """Return the path of a new file or artifact in `FOLDER/studio`; a name has no dots or slashes."""
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{name!r} is no name: use small letters, digits and hyphens, at most 40.")
        if (self.index.folder / MANIFEST_NAME).is_file():
            raise SettingsError(
                "A finished artifact is never changed. Open the studio on the folder above to keep things."
            )
        place = self.index.folder / "studio" / f"{name}{suffix}"
        if place.exists():
            raise SettingsError(f"There is something called {name!r} already. Choose another name.")
        return place

    def painters(self) -> list[dict[str, Any]]:
        """Return the facts of each finished infiller that the page needs."""
        entries = self.index.entries()
        verdicts = self.verdicts(entries)
        found = []
        for entry in entries:
            if entry["kind"] == "infiller" and entry["usable"]:
                infiller = self.index.open(entry["id"], Infiller)
                verdict = next((one["verdict"] for one in verdicts.get(infiller.fingerprint, ())), "")
                found.append({
                    "id": entry["id"],
                    "place": entry["place"],
                    "method": infiller.method,
                    "size_px": infiller.size_px,
                    "hole": str(infiller.hole),
                    "guidance": infiller.guidance,
                    "learned": [name for name, count in infiller.classes_learned.items() if count],
                    "conditions": {fact: FACTS[fact] for fact in infiller.conditions[1:]},
                    "patches": inputs_of(entry, "patches"),
                    "verdict": verdict,
                })  # fmt: skip
        return found

    def verdicts(self, entries: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
        """Return the judgements of infillers, by fingerprint: whether they paint the requested class."""
        found: dict[str, list[dict[str, str]]] = {}
        for entry in entries:
            if entry["kind"] == "judgement" and entry["usable"]:
                for one in self.index.open(entry["id"], Judgement).facts["infillers"]:
                    judged = {"id": entry["id"], "place": entry["place"], "verdict": str(one["class_painted"])}
                    found.setdefault(str(one["fingerprint"]), []).append(judged)
        return found

    # ---- comparisons

    def evaluations_of(self, comparison: str) -> dict[str, Evaluation]:
        """Return the evaluations that a comparison was made from, by id, of those in the folder and unchanged."""
        entries = {one["id"]: one for one in self.index.entries()}
        if comparison not in entries:
            raise SourceError("There is no such comparison here (any more). Load the page again.")
        made_from = [one for one in entries[comparison]["inputs"] if one["role"] == "evaluations"]
        here = [one["id"] for one in made_from if one["id"] and not one["note"] and entries[one["id"]]["usable"]]
        return {name: self.index.open(name, Evaluation) for name in here}

    # ---- readers

    def studies(self) -> dict[str, ReaderStudy]:
        """Return the reader studies in the folder and in `FOLDER/studio`, by relative path without the suffix."""
        folder = self.index.folder
        places = sorted([*folder.glob(f"*{STUDY}"), *folder.glob(f"studio/*{STUDY}")])
        return {place.relative_to(folder).as_posix().removesuffix(STUDY): open_study(place) for place in places}

    def study(self, name: str) -> ReaderStudy:
        """Return a reader study by its name.

        Raises:
            SourceError: there is none of this name.
        """
        found = self.studies().get(name)
        if found is None:
            raise SourceError("There is no such reader study here (any more). Load the page again.")
        return found

    def knows_reader(self, code: str) -> bool:
        """Return whether a code belongs to a reader of one of the studies."""
        return self._study_of(code) is not None

    def reader(self, code: str) -> ReaderStudy:
        """Return the study of a reader's code.

        Raises:
            SourceError: no study has this code.
        """
        found = self._study_of(code)
        if found is None:
            raise SourceError("No reader study knows this code.")
        return found

    def _study_of(self, code: str) -> ReaderStudy | None:
        if not re.fullmatch(r"[A-Za-z0-9]{6,40}", code):
            return None
        if code not in self._readers:
            found = next((one for one in self.studies().values() if code in _codes(one)), None)
            if found is None:
                return None
            self._readers[code] = found
        return self._readers[code]


def _can_be_painted_over(mask: NDArray[np.bool_], breast: NDArray[np.bool_], infiller: Infiller) -> bool:
    """Return whether the smallest mask that covers a patch's own lesion can be repainted."""
    hole = hole_for(over_own(mask, infiller)[0], infiller)
    return not touches_border(hole) and bool(breast[hole].all())


def _can_be_placed(mask: NDArray[np.bool_], infiller: Infiller) -> bool:
    """Return whether a lesion, and its hole when centred in a patch, is not cut by the border."""
    if not mask.any() or touches_border(mask):
        return False
    shift = [round((size - 1) / 2 - place.mean()) for size, place in zip(mask.shape, np.nonzero(mask), strict=True)]
    return not touches_border(hole_for(np.roll(mask, shift, (0, 1)), infiller))


def _names(fills: Sequence[HandFill]) -> list[str]:
    return [name for fill in fills for name in (fill.context_patch_id, fill.mask_donor_patch_id) if name]


def _patch_id(patches: PatchSet, row: int) -> str:
    return str(patches.table["patch_id"].iloc[row])


def _codes(study: ReaderStudy) -> list[str]:
    """Return the codes of a study; none of a damaged file, whose error the list of studies shows."""
    try:
        return study.codes()
    except ArtifactError:
        return []
