"""The studio's answers: what the page asks for, and which function of the package says it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mammofill.ground.artifact import MANIFEST_NAME, Manifest
from mammofill.ground.errors import ArtifactError, BusyError, MammofillError, SettingsError, SourceError
from mammofill.ground.imaging import touches_border
from mammofill.infilling import Infiller
from mammofill.infilling.conditions import FACTS
from mammofill.judging import Judgement
from mammofill.mammograms import MammogramSet
from mammofill.patches import Patch, PatchSet, Place
from mammofill.patches.chosen_windows import CUT_STAGE
from mammofill.readers import (
    PairStudy,
    ReaderStudy,
    ReaderStudySettings,
    analyse_study,
    make_reader_study,
    open_study,
    reader_roc,
)
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
from mammofill.web.access import Access, AccessControl
from mammofill.web.folder_index import FolderIndex, inputs_of, words_of
from mammofill.web.painting import MOST_FILLS, FillRequest, PaintQueue
from mammofill.web.pictures import SHEET_COLUMNS, THUMB_PX, TILE_PX, Tiles, sheet, top_level, white_of
from mammofill.web.windows import Windows, around

PAGE = 120
"""Patches, or mammograms, that are asked for at once, at most."""
_ALL_BREAST = 0.97
"""Share of a patch that breast covers, from which on there is tissue wherever somebody may want to draw."""
_STATIC = Path(__file__).with_name("static")
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
"""Reports hold their own styles and pictures; what scripts they have stays off inside of the studio."""
_SETTINGS_WITH_NAMES = {STAGE: ("fills",), CUT_STAGE: ("places",)}
"""Settings, by the stage, that hold identifiers of patches or mammograms, which mostly hold the patient's."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

Word = Annotated[str, Query(max_length=100)]


class WindowAsked(BaseModel):
    """A window of a mammogram, by its upper left corner."""

    mammograms: str = Field(max_length=16)
    number: int = Field(ge=0)
    top: int = Field(ge=0)
    left: int = Field(ge=0)


class Tissue(BaseModel):
    """A patch of a set, or a window of a mammogram."""

    patches: str = Field(default="", max_length=16)
    row: int = Field(default=0, ge=0)
    window: WindowAsked | None = None


class OwnAsked(Tissue):
    """Which mask paints over the lesion that is there?"""

    infiller: str = Field(max_length=16)


class Drawn(Tissue):
    """A mask on a patch of a set, or on a window of a mammogram."""

    mask: str = Field(max_length=800_000)
    """Bits, row by row, the first the highest of its byte, in base64."""


class HoleAsked(Drawn):
    """What would be repainted?"""

    infiller: str = Field(max_length=16)


class Asked(BaseModel):
    """A class and a seed."""

    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)


class PaintingAsked(Drawn):
    """Fills of one mask by some infillers."""

    infillers: list[str] = Field(min_length=1, max_length=4)
    fills: list[Asked] = Field(min_length=1, max_length=MOST_FILLS)
    guidance: float | None = Field(default=None, ge=0, le=20)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class Kept(BaseModel):
    """One fill that is to be kept."""

    row: int = Field(default=0, ge=0)
    window: WindowAsked | None = None
    mask: str = Field(max_length=800_000)
    donor_row: int | None = Field(default=None, ge=0)
    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class KeepAsked(BaseModel):
    """A patch set of fills; `patches` holds what they were painted into, or the outlines that a window was lent."""

    name: str = Field(max_length=40)
    patches: str = Field(default="", max_length=16)
    infiller: str = Field(max_length=16)
    guidance: float | None = Field(default=None, ge=0, le=20)
    fills: list[Kept] = Field(min_length=1, max_length=256)


class StudyAsked(BaseModel):
    """A reader study of two patch sets."""

    name: str = Field(max_length=40)
    real: str = Field(max_length=16)
    synthetic: str = Field(max_length=16)
    kind: Literal["ratings", "pairs"] = "ratings"
    cases: int = Field(ge=1, le=500)
    readers: int = Field(ge=1, le=50)
    seed: int = Field(default=0, ge=0, lt=2**31)


class RatingGiven(BaseModel):
    """What a reader says of a case."""

    position: int = Field(ge=0)
    synthetic: int = Field(ge=1, le=100)
    malignant: int = Field(ge=1, le=100)
    seconds: float = Field(ge=0, le=1e6)


class ChoiceGiven(BaseModel):
    """Which of two a reader calls real."""

    position: int = Field(ge=0)
    left: bool
    seconds: float = Field(ge=0, le=1e6)


class Studio:
    """What the answers are made from."""

    def __init__(self, folder: Path, device: str = "cpu", name_patients: bool = False) -> None:
        self.index = FolderIndex(folder)
        self.queue = PaintQueue()
        self.tiles = Tiles()
        self.windows = Windows()
        self.device = device
        self.name_patients = name_patients
        self._patients: dict[str, int] = {}
        self._paintable: dict[str, NDArray[np.float64]] = {}
        """Of each patch of a set, by its fingerprint: 1 if it can be painted into, 0 if not, NaN if not yet known."""
        self._readers: dict[str, ReaderStudy] = {}

    # ---- patches

    def patches(self, name: str) -> PatchSet:
        """Open a patch set by its id."""
        return self.index.open(name, PatchSet)

    def chosen(self, patches: PatchSet, wanted: Mapping[str, str]) -> NDArray[np.int64]:
        """Return the rows that the page filters for; an empty word filters nothing."""
        rows = patches.rows(**{name: word for name, word in wanted.items() if word and name != "patient_id"})
        if not wanted.get("patient_id"):
            return rows
        if not self.name_patients:
            raise SettingsError("Patients are not looked for by name here: open the studio with --name-patients.")
        of = patches.table["patient_id"].str.contains(wanted["patient_id"], case=False, regex=False)
        return rows[of.fillna(False).to_numpy(dtype=bool)[rows]]

    def whole(self, patches: PatchSet, rows: NDArray[np.int64], least: int) -> NDArray[np.int64]:
        """Return the first patches that can be painted into: all breast, or with a lesion that no border cuts.

        Args:
            patches: the set.
            rows: those that are asked for.
            least: so many are looked for; masks are decoded, once each, until they are found.
        """
        known = self._paintable.setdefault(patches.fingerprint, np.full(len(patches.table), np.nan))
        for start in range(0, len(rows), PAGE):
            some = rows[start : start + PAGE]
            new = some[np.isnan(known[some])]
            known[new] = _can_be_painted_into(patches, new)
            if np.nansum(known[rows[: start + PAGE]]) >= least:
                break
        found: NDArray[np.int64] = rows[known[rows] == 1]
        return found

    def rows(self, patches: PatchSet, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return what the page shows of some patches."""
        columns = ["patch_id", "patient_id", "pathology", "abnormality", "split", "origin", "density", "seed"]
        table = patches.table.iloc[rows][columns].astype(object)
        records = table.where(table.notna(), None).to_dict("records")
        return [{"row": int(row)} | self._named({str(key): value for key, value in one.items()})
                for row, one in zip(rows, records, strict=True)]  # fmt: skip

    def patient(self, patient_id: str) -> str:
        """Return what the page calls a patient: by the identifier if that was asked for, by a neutral number if not.

        Numbers are given in the order in which patients are first shown, and hold in all sets until the studio closes.
        """
        if self.name_patients:
            return patient_id
        return f"patient {self._patients.setdefault(patient_id, len(self._patients) + 1)}"

    def _named(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not self.name_patients:
            facts = {name: value for name, value in facts.items() if name != "patch_id"}
        return facts | {"patient_id": self.patient(str(facts["patient_id"]))}

    def settings(self, manifest: Manifest) -> dict[str, Any]:
        """Return the settings of an artifact, without those that name patients, where they are not to be named."""
        names = () if self.name_patients else _SETTINGS_WITH_NAMES.get(manifest.stage, ())
        hidden = {name: f"{len(manifest.settings[name])}, not shown: they name patients" for name in names}
        return dict(manifest.settings) | hidden

    def row(self, patches: PatchSet, row: int) -> int:
        """Check that a row is there."""
        if not 0 <= row < len(patches.table):
            raise SettingsError(f"There is no patch {row}: the set holds {len(patches.table)}.")
        return row

    def mask(self, side: int, encoded: str) -> NDArray[np.bool_]:
        """Decode a mask, which must have the patch's size to the bit."""
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
        """Open a patch set for one piece of work alone, so that nobody else reads from its files meanwhile."""
        return PatchSet.open(self.index.place(name))

    # ---- mammograms

    def mammogram(self, mammograms: MammogramSet, number: int) -> str:
        """Return the identifier of a mammogram by its number."""
        if not 0 <= number < len(mammograms.mammograms):
            raise SourceError("There is no such mammogram.")
        return str(mammograms.mammograms["mammogram_id"].iloc[number])

    def place(self, asked: WindowAsked) -> tuple[MammogramSet, Place]:
        """Return where a window lies."""
        mammograms = self.index.open(asked.mammograms, MammogramSet)
        return mammograms, Place(self.mammogram(mammograms, asked.number), asked.top, asked.left)

    def window(self, mammograms: MammogramSet, place: Place, infiller: Infiller) -> Patch:
        """Return a window, cut as the infiller's own patches were."""
        with self.index.lock, self.unnamed(place.mammogram_id):
            return self.windows.cut(mammograms, place, windows_for(infiller))

    @contextmanager
    def unnamed(self, *names: str) -> Iterator[None]:
        """Take names that tell who a patient is out of what is refused, where patients are not to be named."""
        try:
            yield
        except MammofillError as error:
            if self.name_patients:
                raise
            words = str(error)
            for name in names:
                words = words.replace(name, "It")
            raise type(error)(words) from None

    # ---- painting

    def patch(self, asked: Tissue, infiller: Infiller) -> Patch:
        """Return what is drawn on."""
        if asked.window is not None:
            return self.window(*self.place(asked.window), infiller)
        patches = self.patches(asked.patches)
        with self.index.lock:
            return patch_of(patches, self.row(patches, asked.row))

    def requests(self, asked: PaintingAsked) -> list[FillRequest]:
        """Return what is to be painted, each infiller's fills in turn."""
        return [request for name in asked.infillers for request in self._requests(asked, name)]

    def _requests(self, asked: PaintingAsked, name: str) -> Iterator[FillRequest]:
        infiller = self.index.open(name, Infiller)
        patch = self.patch(asked, infiller)
        mask = self.mask(len(patch.image), asked.mask)
        reason = refusal(mask, patch, infiller)
        if reason:
            raise SettingsError(f"{infiller.folder.name}: {reason}")
        guided = asked.guidance is not None and infiller.guidance is not None
        painter = infiller.with_guidance(float(asked.guidance or 0)) if guided else infiller
        known = {fact: word for fact, word in asked.facts.items() if fact in infiller.conditions[1:]}
        context = str(patch.facts["patch_id"])
        together = infiller.fills_at_once(self.device)
        for start in range(0, len(asked.fills), together):
            some = asked.fills[start : start + together]
            fills = [HandFill(context, mask, one.pathology, one.seed, facts=known) for one in some]
            said = [{"infiller": name, "pathology": one.pathology, "seed": one.seed} for one in some]
            yield FillRequest(said, partial(self._painted, painter, patch, fills))

    def _painted(self, painter: Infiller, patch: Patch, fills: Sequence[HandFill]) -> NDArray[np.uint16]:
        with self.unnamed(str(patch.facts["patch_id"])):
            return paint_patch(painter, patch, fills, device=self.device)

    def keep(self, asked: KeepAsked) -> PatchSet:
        """Keep fills below the studio's folder, under a new name."""
        windows = [one.window for one in asked.fills if one.window is not None]
        if not windows:
            return self._keep_patches(asked)
        if len(windows) < len(asked.fills) or len({one.mammograms for one in windows}) > 1:
            raise SettingsError(
                "A set has tissue of one kind: keep fills of patches, and those of each set of mammograms, apart."
            )
        return self._keep_windows(asked, windows)

    def _keep_patches(self, asked: KeepAsked) -> PatchSet:
        infiller, out = self.index.open(asked.infiller, Infiller), self.new_place(asked.name)
        patches = self.own_patches(asked.patches)
        contexts = [_patch_id(patches, self.row(patches, one.row)) for one in asked.fills]
        fills = [
            self._fill(one, context, patches.size_px, patches)
            for one, context in zip(asked.fills, contexts, strict=True)
        ]
        with self.unnamed(*_names(fills)):
            return keep_painted(infiller, patches, fills, out, guidance=asked.guidance, device=self.device)

    def _keep_windows(self, asked: KeepAsked, windows: list[WindowAsked]) -> PatchSet:
        infiller, out = self.index.open(asked.infiller, Infiller), self.new_place(asked.name)
        self.new_place(asked.name, TISSUE)
        found = [self.place(one) for one in windows]
        contexts = [str(self.window(*one, infiller).facts["patch_id"]) for one in found]
        lent = any(one.donor_row is not None for one in asked.fills)
        outlines = self.own_patches(asked.patches) if lent else None
        fills = [
            self._fill(one, context, infiller.size_px, outlines)
            for one, context in zip(asked.fills, contexts, strict=True)
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
                guidance=asked.guidance,
                device=self.device,
            )

    def _fill(self, one: Kept, context: str, side: int, outlines: PatchSet | None) -> HandFill:
        donor = None
        if one.donor_row is not None and outlines is not None:
            donor = _patch_id(outlines, self.row(outlines, one.donor_row))
        return HandFill(context, self.mask(side, one.mask), one.pathology, one.seed, donor, one.facts)

    def new_place(self, name: str, suffix: str = "") -> Path:
        """Return a place for something new in the studio's own folder; the page's name has no dots or slashes."""
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
        """Return what the page needs to know of each infiller that can paint."""
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
                    "conditions": {fact: FACTS[fact] for fact in infiller.conditions[1:]},
                    "patches": inputs_of(entry, "patches"),
                    "verdict": verdict,
                })  # fmt: skip
        return found

    def verdicts(self, entries: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
        """Return what judgements say of infillers, by their fingerprints: whether the class asked for is painted."""
        found: dict[str, list[dict[str, str]]] = {}
        for entry in entries:
            if entry["kind"] == "judgement" and entry["usable"]:
                for one in self.index.open(entry["id"], Judgement).facts["infillers"]:
                    said = {"id": entry["id"], "place": entry["place"], "verdict": str(one["class_painted"])}
                    found.setdefault(str(one["fingerprint"]), []).append(said)
        return found

    # ---- readers

    def studies(self) -> dict[str, ReaderStudy]:
        """Return the reader studies in the folder, by a name of the server's."""
        places = sorted([*self.index.folder.glob("*.readers.sqlite"),
                         *self.index.folder.glob("studio/*.readers.sqlite")])  # fmt: skip
        return {place.name.removesuffix(".readers.sqlite"): open_study(place) for place in places}

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
        """Say whether a code is a reader's of one of the studies."""
        return self._study_of(code) is not None

    def reader(self, code: str) -> ReaderStudy:
        """Return the study that a code is of."""
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


def _can_be_painted_into(patches: PatchSet, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    table = patches.table.iloc[rows]
    tissue = table["breast_share"].to_numpy(dtype=float) >= _ALL_BREAST
    cut = np.array([touches_border(mask) for mask in patches.masks(rows)], np.bool_)
    return np.where((table["pathology"] == "normal").to_numpy(dtype=bool), tissue, ~cut)


def _names(fills: Sequence[HandFill]) -> list[str]:
    return [name for fill in fills for name in (fill.context_patch_id, fill.mask_donor_patch_id) if name]


def _listed(name: str, study: ReaderStudy, folder: Path) -> dict[str, Any]:
    """Return what the page shows of a reader study; of one that cannot be read, why."""
    said = {"name": name, "kind": study.kind, "place": study.path.relative_to(folder).as_posix()}
    try:
        return said | study.progress()
    except ArtifactError as error:
        return said | {"error": words_of(error, folder)}


def _encoded(mask: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def _patch_id(patches: PatchSet, row: int) -> str:
    return str(patches.table["patch_id"].iloc[row])


def _codes(study: ReaderStudy) -> list[str]:
    """Return the codes of a study; a file that cannot be read lets nobody in, and says so where studies are listed."""
    try:
        return study.codes()
    except ArtifactError:
        return []


def create_app(studio: Studio, access: Access) -> AccessControl:
    """Return the studio as an ASGI application, behind its access control.

    Args:
        studio: what it shows.
        access: who may come in; its `knows_reader` is the studio's.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _say_errors(app, studio)
    _pages(app, studio)
    _browse(app, studio)
    _paint(app, studio)
    _read(app, studio)
    return AccessControl(app, access)


def _say_errors(app: FastAPI, studio: Studio) -> None:
    @app.exception_handler(MammofillError)
    def explain(_: Request, error: MammofillError) -> JSONResponse:
        status = 429 if isinstance(error, BusyError) else 404 if isinstance(error, SourceError) else 400
        return JSONResponse({"error": words_of(error, studio.index.folder)}, status)


def _pages(app: FastAPI, studio: Studio) -> None:
    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/read")
    def reading() -> FileResponse:
        return FileResponse(_STATIC / "read.html")

    @app.get("/artifact/{name}/{file:path}")
    def payload(name: str, file: str) -> FileResponse:
        place = studio.index.payload(name, file)
        if place.suffix not in (".html", ".png", ".svg", ".txt", ".css"):
            raise SourceError("Only pages and pictures are shown here.")
        return FileResponse(place, headers={"content-security-policy": _REPORT_POLICY})


def _browse(app: FastAPI, studio: Studio) -> None:
    index = studio.index

    @app.get("/api/artifacts")
    def artifacts() -> dict[str, Any]:
        return {"folder": index.folder.resolve().name, "artifacts": index.entries(), "patients": studio.name_patients}

    @app.get("/api/artifacts/{name}")
    def artifact(name: str) -> dict[str, Any]:
        manifest = index.manifest(name)
        verdicts = studio.verdicts(index.entries()) if manifest.kind == "infiller" else {}
        learned = {one.through: len(one.patients) for one in manifest.patients_learned_from}
        return {
            "settings": studio.settings(manifest),
            "counts": manifest.counts,
            "seed": manifest.seed,
            "package_version": manifest.package_version,
            "fingerprint": manifest.fingerprint,
            "patients_learned_from": learned,
            "verdicts": verdicts.get(manifest.fingerprint, []),
        }

    @app.get("/api/patches/{name}/rows")
    def rows(
        name: str,
        split: Word = "",
        pathology: Word = "",
        origin: Word = "",
        patient: Word = "",
        whole: bool = False,
        offset: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=0, le=PAGE)] = PAGE,
    ) -> dict[str, Any]:
        patches = studio.patches(name)
        wanted = {"split": split, "pathology": pathology, "origin": origin, "patient_id": patient}
        found = studio.chosen(patches, wanted)
        if whole:
            with index.lock:
                found = studio.whole(patches, found, offset + count)
        return {
            "all": len(found),
            "size_px": patches.size_px,
            "thumb_px": THUMB_PX,
            "columns": SHEET_COLUMNS,
            "rows": studio.rows(patches, found[offset : offset + count]),
        }

    @app.get("/api/patches/{name}/sheet")
    def patch_sheet(name: str, rows: Annotated[str, Query(max_length=1200)]) -> Response:
        patches = studio.patches(name)
        if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", rows) or rows.count(",") >= PAGE:
            raise SettingsError(f"rows must be at most {PAGE} numbers with commas between them.")
        wanted = np.array([studio.row(patches, int(one)) for one in rows.split(",")], np.int64)
        with index.lock:
            return Response(sheet(patches, wanted), media_type="image/png")

    @app.get("/api/patches/{name}/raw/{row}")
    def raw(name: str, row: int) -> Response:
        patches = studio.patches(name)
        with index.lock:
            image = patches.pixels([studio.row(patches, row)])[0][0]
        return Response(image.astype("<u2").tobytes(), media_type="application/octet-stream")

    @app.get("/api/patches/{name}/mask/{row}")
    def mask(name: str, row: int) -> Response:
        patches = studio.patches(name)
        with index.lock:
            found = patches.masks([studio.row(patches, row)])[0]
        return Response(found.astype(np.uint8).tobytes(), media_type="application/octet-stream")

    @app.get("/api/patches/{name}/dropped")
    def dropped(name: str) -> list[dict[str, Any]]:
        return [
            {str(key): value for key, value in one.items()}
            for one in studio.patches(name).dropped.astype(object).to_dict("records")
        ]

    @app.get("/api/mammograms/{name}/rows")
    def mammograms(
        name: str,
        split: Word = "",
        patient: Word = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=0, le=PAGE)] = PAGE,
    ) -> dict[str, Any]:
        found = index.open(name, MammogramSet)
        table = found.mammograms.reset_index(names="number")
        table = table[table["split"] == split] if split else table
        if patient and studio.name_patients:
            table = table[table["patient_id"].str.contains(patient, case=False, regex=False)]
        return {
            "all": len(table),
            "tile_px": TILE_PX,
            "rows": [_mammogram(found, one, studio) for one in
                     table.iloc[offset : offset + count].astype(object).to_dict("records")],
        }  # fmt: skip

    @app.get("/api/mammograms/{name}/{number}/tile/{level}/{column}/{row}")
    def tile(name: str, number: int, level: int, column: int, row: int, outlines: bool = True) -> Response:
        found = index.open(name, MammogramSet)
        mammogram_id = studio.mammogram(found, number)
        with index.lock:
            png = studio.tiles.tile(found, mammogram_id, level, column, row, outlines)
        if png is None:
            raise SourceError("There is no such tile.")
        return Response(png, media_type="image/png", headers={"cache-control": "private, max-age=600"})

    @app.get("/api/mammograms/{name}/{number}/window")
    def window(
        name: str,
        number: int,
        infiller: Word,
        row: Annotated[int, Query(ge=0)],
        column: Annotated[int, Query(ge=0)],
    ) -> dict[str, Any]:
        found, painter = index.open(name, MammogramSet), index.open(infiller, Infiller)
        mammogram_id = studio.mammogram(found, number)
        facts, image = found.facts(mammogram_id), found.image(mammogram_id)
        top, left = around(row, column, painter.size_px, (facts["rows"], facts["columns"]))
        said = {"top": top, "left": left, "size_px": painter.size_px, "split": facts["split"], "white": white_of(image)}
        try:
            patch = studio.window(found, Place(mammogram_id, top, left), painter)
        except MammofillError as error:
            return said | {"refused": words_of(error, index.folder), "pathology": None}
        return said | {"refused": "", "pathology": patch.facts["pathology"]}

    @app.get("/api/mammograms/{name}/{number}/window/{top}/{left}/{what}")
    def pixels(name: str, number: int, top: int, left: int, what: Literal["raw", "mask"], infiller: Word) -> Response:
        found = index.open(name, MammogramSet)
        place = Place(studio.mammogram(found, number), top, left)
        patch = studio.window(found, place, index.open(infiller, Infiller))
        content = patch.image.astype("<u2") if what == "raw" else patch.mask.astype(np.uint8)
        return Response(content.tobytes(), media_type="application/octet-stream")


def _mammogram(found: MammogramSet, one: dict[Any, Any], studio: Studio) -> dict[str, Any]:
    lesions = found.lesions_of(one["mammogram_id"])
    return {
        "number": int(one["number"]),
        "patient_id": studio.patient(str(one["patient_id"])),
        "rows": int(one["rows"]),
        "columns": int(one["columns"]),
        "top_level": top_level(int(one["rows"]), int(one["columns"])),
        "laterality": one["laterality"] if isinstance(one["laterality"], str) else "",
        "view": one["view"] if isinstance(one["view"], str) else "",
        "split": one["split"],
        "lesions": [f"{lesion.pathology} {lesion.abnormality}" for lesion in lesions.itertuples()],
    }


def _paint(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/infillers")
    def infillers() -> list[dict[str, Any]]:
        return studio.painters()

    @app.post("/api/hole")
    def hole(asked: HoleAsked) -> dict[str, Any]:
        infiller = studio.index.open(asked.infiller, Infiller)
        patch = studio.patch(asked, infiller)
        side = len(patch.image)
        mask = studio.mask(side, asked.mask)
        if infiller.size_px != side:
            raise SettingsError(
                f"The infiller fills patches of {infiller.size_px} px; these have {side}. Choose others."
            )
        return {"refused": refusal(mask, patch, infiller), "hole": _encoded(hole_for(mask, infiller))}

    @app.post("/api/over-own")
    def over(asked: OwnAsked) -> dict[str, Any]:
        infiller = studio.index.open(asked.infiller, Infiller)
        mask, grown_px = over_own(studio.patch(asked, infiller), infiller)
        return {"mask": _encoded(mask), "grown_px": grown_px}

    @app.post("/api/paint")
    def paint(asked: PaintingAsked) -> dict[str, Any]:
        requests = studio.requests(asked)
        return {
            "painting": studio.queue.add(requests).name,
            "fills": [said for request in requests for said in request.said],
        }

    @app.get("/api/paint/{name}")
    def progress(name: str) -> dict[str, Any]:
        painting = studio.queue.painting(name)
        return {"state": painting.state, "done": len(painting.fills), "error": painting.words}

    @app.get("/api/paint/{name}/fill/{number}")
    def fill(name: str, number: int) -> Response:
        painting = studio.queue.painting(name)
        if not 0 <= number < len(painting.fills):
            raise SourceError("This fill is not painted (yet).")
        return Response(painting.fills[number].astype("<u2").tobytes(), media_type="application/octet-stream")

    @app.delete("/api/paint/{name}")
    def cancel(name: str) -> dict[str, Any]:
        return {"state": studio.queue.cancel(name).state}

    @app.post("/api/keep")
    def keep(asked: KeepAsked) -> dict[str, Any]:
        kept = studio.keep(asked)
        place = kept.folder.relative_to(studio.index.folder).as_posix()
        return {"place": place, "headline": kept.headline()}


def _read(app: FastAPI, studio: Studio) -> None:
    index = studio.index

    @app.get("/api/studies")
    def studies() -> list[dict[str, Any]]:
        return [_listed(name, one, studio.index.folder) for name, one in studio.studies().items()]

    @app.post("/api/studies")
    def make(asked: StudyAsked) -> dict[str, Any]:
        settings = ReaderStudySettings(kind=asked.kind, cases=asked.cases, readers=asked.readers)
        out = studio.new_place(asked.name, ".readers.sqlite")
        sets = studio.own_patches(asked.real), studio.own_patches(asked.synthetic)
        made = make_reader_study(*sets, out, settings, seed=asked.seed)
        return _listed(asked.name, made, studio.index.folder)

    @app.get("/api/studies/{name}/analysis")
    def analysis(name: str) -> dict[str, Any]:
        study = studio.study(name)
        return {"words": str(analyse_study(study)), "roc": not isinstance(study, PairStudy)}

    @app.get("/api/studies/{name}/roc.svg")
    def roc(name: str) -> Response:
        study = studio.study(name)
        if isinstance(study, PairStudy):
            raise SourceError("A study of pairs has no ROC curves.")
        with index.lock:  # matplotlib's style is not for several threads
            return Response(reader_roc(study), media_type="image/svg+xml")

    @app.get("/api/read/next")
    def upcoming(request: Request) -> dict[str, Any]:
        code = str(request.state.reader)
        return studio.reader(code).upcoming(code)

    @app.get("/api/read/case/{position}")
    def case(request: Request, position: int) -> Response:
        code = str(request.state.reader)
        return Response(studio.reader(code).pixels(code, position), media_type="application/octet-stream")

    @app.post("/api/read/rating")
    def rate(request: Request, given: RatingGiven) -> dict[str, Any]:
        code = str(request.state.reader)
        study = studio.reader(code)
        if isinstance(study, PairStudy):
            raise SettingsError("This study asks which of two is real, and takes no ratings. Load the page again.")
        study.rate(code, given.position, given.synthetic, given.malignant, given.seconds)
        return study.upcoming(code)

    @app.post("/api/read/choice")
    def choose(request: Request, given: ChoiceGiven) -> dict[str, Any]:
        code = str(request.state.reader)
        study = studio.reader(code)
        if not isinstance(study, PairStudy):
            raise SettingsError("This study asks for ratings. Load the page again.")
        study.choose(code, given.position, given.left, given.seconds)
        return study.upcoming(code)
