"""The API described by itself: `/openapi.json`, and `/docs` from our own files."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.params import FromPath
from litestar.routes import HTTPRoute

from app.auth.session_cookies import AUTHJS_5, NEXTAUTH_4
from app.docs.schemas import SCHEMAS
from app.http.base64_fields import Base64Text
from app.http.problems import NOTHING_HERE, STATUS
from app.services import AnyRequest
from jobs.errors import NotFound

CONFIG: Final = None
"""The framework's own description is off: bodies and answers are read and written by our faces, not by it."""
_ASSETS: Final = {
    "index.html": "text/html; charset=utf-8",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)


@get("/openapi.json", include_in_schema=False)
async def openapi(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI 3.1 description."""
    return Response(msgspec.json.encode(description(request.app)), media_type=MediaType.JSON)


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    """Swagger UI; no request leaves the machine."""
    return _page("index.html")


@get("/docs/{name:str}", include_in_schema=False)
async def docs_file(name: FromPath[str]) -> Response[bytes]:
    """One of its files."""
    if name not in _ASSETS:
        raise NotFound(NOTHING_HERE)
    return _page(name)


def description(app: Litestar) -> dict[str, Any]:
    """Every route that says in its `opt` what it takes (`body`, `example`, `file`, `query`) and answers.

    `result` names a schema; `statuses` says what each answer without a body means. Paths that begin as `twin` says are
    the same operations once more, and are not told twice.
    """
    components: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            path = route.path_format
            if not handler.include_in_schema or path.startswith(handler.opt.get("twin", _NOWHERE)):
                continue
            for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                paths.setdefault(path, {})[method.lower()] = _operation(handler, path, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Darkroom", "version": "0.1.0", "description": "Every picture is a job."},
        "security": [{name: []} for name in _CREDENTIALS],
        "paths": paths,
        "components": {
            "schemas": {**components, **SCHEMAS},
            "securitySchemes": _CREDENTIALS,
        },
    }


def _operation(handler: Any, path: str, components: dict[str, Any]) -> dict[str, Any]:
    opt = handler.opt
    summary, _, rest = (handler.fn.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "summary": summary,
        "description": rest.strip(),
        "parameters": [*_path_parameters(path), *_query_parameters(opt.get("query", {})), *_header_parameters(opt)],
        "responses": _responses(handler, path, opt),
    }
    if "body" in opt:
        (schema,), parts = msgspec.json.schema_components(
            [opt["body"]], ref_template="#/components/schemas/{name}", schema_hook=_schema
        )
        components.update(parts)
        content = {"schema": schema, "example": opt["example"]}
        kinds: dict[str, Any] = {"application/json": content}
        if "form" in opt:
            kinds["multipart/form-data"] = {"schema": {"type": "object", "description": opt["form"]}}
        operation["requestBody"] = {"required": not opt.get("optional_body"), "content": kinds}
    elif "file" in opt:
        schema = {"type": "object", "required": [opt["file"]], "properties": {opt["file"]: _BYTES}}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    if opt.get("result") == "health" or opt.get("open"):
        operation["security"] = []
    return operation


def _responses(handler: Any, path: str, opt: dict[str, Any]) -> dict[str, Any]:
    kind = opt.get("result")
    answers: dict[str, Any] = {}
    if "statuses" in opt:
        answers.update({str(status): {"description": about} for status, about in opt["statuses"].items()})
    else:
        content = {opt.get("media_type", "application/json"): {"schema": {"$ref": f"#/components/schemas/{kind}"}}}
        answers[str(handler.status_code)] = {"description": "done", "content": content}
    if kind == "health":
        answers["503"] = {"description": "not ready"}
        return answers
    for status, about in opt.get("also", {}).items():
        answers[str(status)] = {**answers[str(handler.status_code)], "description": about}
    if kind in _OF_JOBS:
        answers.setdefault("200", {"description": "finished"})
        answers.setdefault("202", {"description": "the job, which goes on"})
        answers.setdefault("304", {"description": "unchanged"})
    error = {"application/json": {"schema": {"$ref": f"#/components/schemas/{opt.get('errors', 'error')}"}}}
    if kind == "events":
        answers["204"] = {"description": "the last event was seen already (`Last-Event-ID`)"}
        answers["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    for code in sorted(_refusals(path, opt)):
        answers.setdefault(str(code), {"description": _named(code), "content": error})
    return answers


def _refusals(path: str, opt: dict[str, Any]) -> set[int]:
    """The error statuses that a route can answer with."""
    if opt.get("open"):
        return {500}
    codes = {400, 401, 403, 429, 500, 503}
    if "{" in path:
        codes |= {404, 410}
    if "body" in opt or "file" in opt:
        codes |= {408, 410, 413, 415, 422}
    if opt.get("result") in {"image", "images", "page_image"}:
        codes |= {404, 409, 504}
    if opt.get("result") == "images":
        codes |= {424}
    if opt.get("result") == "events":
        codes |= {406}
    return codes


def _schema(kind: type) -> dict[str, Any]:
    if kind is Base64Text:
        return {"type": "string", "contentEncoding": "base64"}
    raise NotImplementedError(kind)


def _named(status: int) -> str:
    codes = ", ".join(code for code, s in STATUS.items() if s == status)
    return codes or "the job behind it has ended without a picture, and may have been paid for"


def _path_parameters(path: str) -> list[dict[str, Any]]:
    found = []
    for name in _PARAMETER.findall(path):
        schema = {"type": "string"}
        if name in _IDS:
            schema["pattern"] = f"^{_IDS[name]}_[0-9a-z]{{30}}$"
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _query_parameters(query: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": n, "in": "query", "description": d, "schema": {"type": "string"}} for n, d in query.items()]


def _header_parameters(opt: dict[str, Any]) -> list[dict[str, Any]]:
    told = {
        "Prefer": "`wait=30` or `respond-async` (RFC 7240)",
        "Idempotency-Key": "1 to 255 printable ASCII characters",
    }
    wanted = told if "body" in opt and opt.get("result") in _OF_JOBS else {}
    if opt.get("result") == "batch" and "body" in opt:
        wanted = {"Idempotency-Key": told["Idempotency-Key"]}
    return [{"name": n, "in": "header", "description": d, "schema": {"type": "string"}} for n, d in wanted.items()]


def _page(name: str) -> Response[bytes]:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(_asset(name), headers=headers, media_type=_ASSETS[name])


@cache
def _asset(name: str) -> bytes:
    return (files("app") / "web" / "swagger" / name).read_bytes()


_NOWHERE: Final = "-"
"""How no path begins."""
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_IDS: Final = {"endpoint_id": "whe", "delivery_id": "dlv", "job_id": "job", "key_id": "key", "batch_id": "bat"}
"""Path parameters that are ids of ours, and the kind that they begin with."""
_BYTES: Final = {"type": "string", "format": "binary"}
_OF_JOBS: Final = frozenset({"image", "images", "page_image", "job", "jobs", "events"})
"""Results that may come later, or be unchanged."""
_CREDENTIALS: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
    "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "session": {"type": "apiKey", "in": "cookie", "name": AUTHJS_5, "description": f"or `{NEXTAUTH_4}` of NextAuth 4"},
}
handlers: Final = (openapi, docs, docs_file)
