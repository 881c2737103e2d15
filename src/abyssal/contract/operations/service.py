"""What describes this service and says how it is: no credential is asked for."""

from __future__ import annotations

from typing import Any

from abyssal.contract.answers import Alive
from abyssal.contract.operation import JSON, Answer, Body, Operation, Parameter
from abyssal.gateway.front.local import Readiness

_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_KNOWN = Answer("The client has it: `If-None-Match` names its `ETag`.", status=304)


def _page(name: str, path: str, summary: str, *answers: Answer, **more: Any) -> Operation:
    return Operation(
        id=name, method="GET", path=path, tag="Service", summary=summary, answers=answers, **more
    )


SERVICE: tuple[Operation, ...] = (
    _page("showHealth", "/healthz", "Whether the worker lives", Answer("It does.", (Body(JSON, Alive),))),
    _page(
        "showReadiness",
        "/readyz",
        "Whether calls can be answered",
        Answer("Calls are taken, and some upstream can answer.", (Body(JSON, Readiness),)),
        Answer("Not now; `upstreams` says of each `ready` or `down`.", (Body(JSON, Readiness),), 503),
    ),
    _page(
        "showMetrics",
        "/metrics",
        "Metrics",
        Answer("Prometheus text.", (Body("text/plain; version=0.0.4; charset=utf-8"),)),
        python='urlopen(base + "/metrics").read()',
    ),
    _page(
        "showFrontPage",
        "/",
        "What runs here",
        Answer("A page.", (Body(_HTML),)),
        _KNOWN,
        python='urlopen(base + "/").read()',
    ),
    _page(
        "showContract",
        "/openapi.json",
        "This contract",
        Answer("OpenAPI 3.1.", (Body(JSON, dict[str, Any]),)),
        _KNOWN,
    ),
    _page(
        "showSchema",
        "/v1/schema.proto",
        "The Protobuf messages",
        Answer("The messages, and how they stand to the JSON forms.", (Body(_TEXT),)),
        python='urlopen(base + "/v1/schema.proto").read()',
    ),
    _page(
        "showDocumentation",
        "/docs",
        "Documentation",
        Answer("A page.", (Body(_HTML),)),
        _KNOWN,
        python='urlopen(base + "/docs").read()',
    ),
    _page(
        "showDocumentationOf",
        "/docs/{page}",
        "Documentation of a family",
        Answer("A page.", (Body(_HTML),)),
        _KNOWN,
        parameters=(Parameter("page", "path", "A family's name, in lower case.", required=True),),
        errors=(404,),
        curl='curl -sS "$BASE/docs/chat"',
        python='urlopen(base + "/docs/chat").read()',
    ),
    _page(
        "showDocumentationFile",
        "/docs/static/{file}",
        "A file of the documentation",
        Answer(
            "The file.",
            (Body("text/css; charset=utf-8"), Body("text/javascript; charset=utf-8"), Body("image/svg+xml")),
        ),
        _KNOWN,
        parameters=(Parameter("file", "path", "Its name.", required=True),),
        errors=(404,),
        curl='curl -sS "$BASE/docs/static/docs.css"',
        python='urlopen(base + "/docs/static/docs.css").read()',
    ),
)
