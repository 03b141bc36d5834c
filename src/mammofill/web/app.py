"""Routes of the studio."""

from __future__ import annotations

import base64
import hmac
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from numpy.typing import NDArray

from mammofill.comparison import Comparison
from mammofill.ground.errors import ArtifactError, BusyError, MammofillError, SettingsError, SourceError
from mammofill.infilling import Infiller
from mammofill.judging import Judgement
from mammofill.mammograms import MammogramSet
from mammofill.patches import Place
from mammofill.readers import (
    PairStudy,
    ReaderStudy,
    ReaderStudySettings,
    analyse_study,
    make_reader_study,
    reader_roc,
)
from mammofill.synthesis import hole_for, over_own, refusal
from mammofill.web.access import Access, AccessControl
from mammofill.web.bodies import (
    Choice,
    HoleRequest,
    KeepRequest,
    OwnMaskRequest,
    PaintRequest,
    Rating,
    StudyRequest,
)
from mammofill.web.comparisons import shown_of
from mammofill.web.folder_index import words_of
from mammofill.web.judgements import measures_shown
from mammofill.web.pictures import SHEET_COLUMNS, THUMB_PX, TILE_PX, sheet, top_level, white_of
from mammofill.web.studio import PAGE, STUDY, Studio
from mammofill.web.windows import around

_STATIC = Path(__file__).with_name("static")
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
"""Content security policy of reports: inline styles and pictures, no scripts."""

Word = Annotated[str, Query(max_length=100)]


class AnotherReaderError(SettingsError):
    """The page was opened by one reader, but the browser's cookie is that of another."""


def create_app(studio: Studio, access: Access) -> AccessControl:
    """Return the studio as an ASGI application with access control.

    Args:
        studio: that the routes use.
        access: its `knows_reader` is the studio's.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _error_handlers(app, studio)
    _pages(app, studio)
    _browse(app, studio)
    _paint(app, studio)
    _read(app, studio)
    return AccessControl(app, access)


def _error_handlers(app: FastAPI, studio: Studio) -> None:
    @app.exception_handler(MammofillError)
    def explain(_: Request, error: MammofillError) -> JSONResponse:
        statuses = {BusyError: 429, SourceError: 404, AnotherReaderError: 409}
        status = next((one for kind, one in statuses.items() if isinstance(error, kind)), 400)
        return JSONResponse({"error": words_of(error, studio.index.folder)}, status)

    @app.exception_handler(RequestValidationError)
    def explain_request(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: NaN or a lone surrogate could not be encoded in the response.
        words = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return JSONResponse({"error": words.encode(errors="replace").decode()}, 422)


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

    @app.get("/api/comparisons/{name}")
    def comparison(name: str) -> dict[str, Any]:
        return shown_of(index.open(name, Comparison), studio.evaluations_of(name))

    @app.get("/api/judgements/{name}")
    def judgement(name: str) -> dict[str, Any]:
        return measures_shown(index.open(name, Judgement))

    @app.get("/api/patches/{name}/rows")
    def rows(
        name: str,
        split: Word = "",
        pathology: Word = "",
        origin: Word = "",
        patient: Word = "",
        whole: bool = False,
        infiller: Word = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=0, le=PAGE)] = PAGE,
    ) -> dict[str, Any]:
        patches = studio.patches(name)
        wanted = {"split": split, "pathology": pathology, "origin": origin, "patient_id": patient}
        found, left = studio.chosen(patches, wanted), 0
        matching = len(found)
        if whole:
            painter = index.open(infiller, Infiller) if infiller else None
            found, left = studio.whole(patches, found, offset + count, painter)
        return {
            "all": len(found),
            "looked_at": matching - left,
            "left": left,
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

    @app.get("/api/patches/{name}/outlines")
    def outlines(name: str, pathology: Word, infiller: Word) -> dict[str, Any]:
        patches, painter = studio.patches(name), index.open(infiller, Infiller)
        with index.lock:
            return {"size_px": patches.size_px, "rows": studio.outlines(patches, pathology, painter)}

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
        sent = {"top": top, "left": left, "size_px": painter.size_px, "split": facts["split"], "white": white_of(image)}
        try:
            patch = studio.window(found, Place(mammogram_id, top, left), painter)
        except MammofillError as error:
            return sent | {"refused": words_of(error, index.folder), "pathology": None}
        return sent | {"refused": "", "pathology": patch.facts["pathology"]}

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
    def hole(body: HoleRequest) -> dict[str, Any]:
        infiller = studio.index.open(body.infiller, Infiller)
        patch = studio.patch(body, infiller)
        side = len(patch.image)
        mask = studio.mask(side, body.mask)
        if infiller.size_px != side:
            raise SettingsError(
                f"The infiller fills patches of {infiller.size_px} px; these have {side}. Choose others."
            )
        return {"refused": refusal(mask, patch, infiller), "hole": _encoded(hole_for(mask, infiller))}

    @app.post("/api/over-own")
    def over(body: OwnMaskRequest) -> dict[str, Any]:
        infiller = studio.index.open(body.infiller, Infiller)
        mask, grown_px = over_own(studio.patch(body, infiller).mask, infiller)
        return {"mask": _encoded(mask), "grown_px": grown_px}

    @app.post("/api/paint")
    def paint(body: PaintRequest) -> dict[str, Any]:
        requests = studio.requests(body)
        return {
            "painting": studio.queue.add(requests).name,
            "fills": [one for request in requests for one in request.descriptions],
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
    def keep(body: KeepRequest) -> dict[str, Any]:
        kept = studio.keep(body)
        place = kept.folder.relative_to(studio.index.folder).as_posix()
        return {"place": place, "headline": kept.headline()}


def _read(app: FastAPI, studio: Studio) -> None:
    index = studio.index

    @app.get("/api/studies")
    def studies() -> list[dict[str, Any]]:
        return [_listed(one, index.folder) for one in studio.studies().values()]

    @app.post("/api/studies")
    def make(body: StudyRequest) -> dict[str, Any]:
        settings = ReaderStudySettings(kind=body.kind, cases=body.cases, readers=body.readers)
        out = studio.new_place(body.name, STUDY)
        sets = studio.own_patches(body.real), studio.own_patches(body.synthetic)
        made = make_reader_study(*sets, out, settings, seed=body.seed)
        return _listed(made, index.folder)

    @app.get("/api/studies/{name:path}/analysis")
    def analysis(name: str) -> dict[str, Any]:
        study = studio.study(name)
        return {"words": str(analyse_study(study)), "roc": not isinstance(study, PairStudy)}

    @app.get("/api/studies/{name:path}/roc.svg")
    def roc(name: str) -> Response:
        study = studio.study(name)
        if isinstance(study, PairStudy):
            raise SourceError("A study of pairs has no ROC curves.")
        with index.lock:  # matplotlib is not thread-safe
            return Response(reader_roc(study), media_type="image/svg+xml")

    @app.get("/api/read/next")
    def upcoming(request: Request) -> dict[str, Any]:
        code = str(request.state.reader)
        return _turn(studio.reader(code), code)

    @app.get("/api/read/case/{position}")
    def case(request: Request, position: int, tag: Word) -> Response:
        code = _same_reader(request, position, tag)
        return Response(studio.reader(code).pixels(code, position), media_type="application/octet-stream")

    @app.post("/api/read/rating")
    def rate(request: Request, given: Rating) -> dict[str, Any]:
        code = _same_reader(request, given.position, given.tag)
        study = studio.reader(code)
        if isinstance(study, PairStudy):
            raise SettingsError("This study asks which of two is real, and takes no ratings. Load the page again.")
        study.rate(code, given.position, given.synthetic, given.malignant, given.seconds)
        return _turn(study, code)

    @app.post("/api/read/choice")
    def choose(request: Request, given: Choice) -> dict[str, Any]:
        code = _same_reader(request, given.position, given.tag)
        study = studio.reader(code)
        if not isinstance(study, PairStudy):
            raise SettingsError("This study asks for ratings. Load the page again.")
        study.choose(code, given.position, given.left, given.seconds)
        return _turn(study, code)


def _turn(study: ReaderStudy, code: str) -> dict[str, Any]:
    """Return a reader's next case, with the reader's number and the tag that the answer must contain."""
    found = study.upcoming(code)
    return found | {"reader": study.codes().index(code) + 1, "tag": _tag(code, found["position"])}


def _tag(code: str, position: int) -> str:
    """Return a tag of a reader and a case. It depends on the code only, so that it stays valid after a restart."""
    return hmac.new(code.encode(), str(position).encode(), "sha256").hexdigest()[:16]


def _same_reader(request: Request, position: int, tag: str) -> str:
    """Return the reader's code of the cookie after a check that the page belongs to the same reader.

    All tabs of a browser share the cookie, which is that of the reader whose address was opened last.

    Raises:
        AnotherReaderError: the page belongs to another reader.
    """
    code = str(request.state.reader)
    if not hmac.compare_digest(tag.encode(), _tag(code, position).encode()):
        raise AnotherReaderError(
            "This page reads for one reader, but the address of another was opened in this browser since: nothing was "
            "taken. Open your own address again to go on. Two readers at once need two browsers."
        )
    return code


def _listed(study: ReaderStudy, folder: Path) -> dict[str, Any]:
    """Return the facts of a reader study that the page shows; the error of one that cannot be read."""
    place = study.path.relative_to(folder).as_posix()
    facts = {"name": place.removesuffix(STUDY), "kind": study.kind, "place": place}
    try:
        return facts | study.progress()
    except ArtifactError as error:
        return facts | {"error": words_of(error, folder)}


def _encoded(mask: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(mask).tobytes()).decode()
