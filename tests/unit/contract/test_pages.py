"""The pages: whole HTML, nothing from outside, an anchor for every operation, readable without a script."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.applications import Starlette

from abyssal.contract.http import contract_routes
from abyssal.contract.operations import OPERATIONS, TAGS
from abyssal.contract.pages import FAMILIES, PAGES, render
from abyssal.contract.reading import inline, prose, reached, rows, words
from abyssal.wire.errors import ApiError

EMPTY = {"meta", "link", "img", "input", "br"}
MODELS = ("deepseek-chat", "<script>alert(1)</script>", 'a"b&c')


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"])
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def page(name: str) -> Page:
    return Page(render(name, MODELS).decode())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_html_and_asks_for_nothing_outside(name: str) -> None:
    found = page(name)
    assert len(set(found.ids)) == len(found.ids)
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in found.links)
    for tag, given in found.tags:
        assert not [attribute for attribute in given if attribute.startswith("on") or attribute == "style"]
        assert tag != "style"
        if tag == "script":
            assert given["src"] == "/docs/static/docs.js"
        if tag == "img":
            assert "alt" in given
    assert [tag for tag, _ in found.tags].count("h1") == 1


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    anchors = {f"/docs/{family}": set(page(family).ids) for family in FAMILIES}
    anchors["/docs"] = set(page("overview").ids)
    here = set(page(name).ids)
    known = {
        "/",
        "/docs",
        "/openapi.json",
        "/docs/static/docs.css",
        "/docs/static/docs.js",
        "/docs/static/mark.svg",
    }
    for link in page(name).links:
        path, _, anchor = link.partition("#")
        assert not path or path in known or path in anchors, link
        assert not anchor or anchor in (anchors[path] if path else here), link


@pytest.mark.parametrize("tag", TAGS)
def test_every_operation_has_an_anchor_its_example_and_its_fields(tag: str) -> None:
    text = render(tag.lower(), MODELS).decode()
    ids = page(tag.lower()).ids
    plain = re.sub(r"<[^>]+>", "", text)
    for operation in OPERATIONS:
        if operation.tag != tag:
            continue
        assert operation.id in ids
        for line in (operation.curl_line, operation.python_line):
            assert line in plain.replace("&#34;", '"').replace("&#39;", "'").replace("&gt;", ">").replace(
                "&amp;", "&"
            )
        for body in operation.bodies:
            assert inline(body.says) in text
            for field in getattr(body.schema, "__struct_encode_fields__", ()):
                assert f"<code>{field}</code>" in text


def test_the_front_page_has_the_routes_and_the_models() -> None:
    text = render("front", MODELS).decode()
    for operation in OPERATIONS:
        assert operation.path in text
    assert "deepseek-chat" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert 'href="/docs"' in text
    assert "None is configured" in render("front", ()).decode()


def test_words_of_types() -> None:
    def said(schema: dict[str, Any]) -> str:
        return "".join(word.text for word in words(schema))

    assert said({"type": "integer", "minimum": 1, "maximum": 9}) == "integer, 1 to 9"
    assert said({"type": "number", "exclusiveMinimum": 0, "maximum": 1}) == "number, over 0 to 1"
    assert (
        said({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]})
        == "string, up to 3 characters"
    )
    assert said({"type": "array", "items": {"$ref": "#/components/schemas/A"}, "minItems": 1}) == (
        "array of A, 1 or more items"
    )
    assert said({"enum": ["a", None]}) == 'one of "a", null'
    assert said({"type": "object", "additionalProperties": {"type": "string"}}) == "object of string"
    assert said({"const": "x"}) == '"x"'
    assert said({}) == "any value"
    assert words({"$ref": "#/components/schemas/A"})[0].type == "A"


def test_required_fields_come_first() -> None:
    fields = rows({"properties": {"a": {"type": "string"}, "b": {"default": 3}}, "required": ["b"]})
    assert [(row.name, row.required, row.default) for row in fields] == [("b", True, "3"), ("a", False, "")]


def test_types_are_followed_once() -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"items": [{"$ref": "#/components/schemas/A"}]}}
    assert reached(schemas, [{"$ref": "#/components/schemas/A"}]) == ["A", "B"]


def test_prose_is_text_but_for_its_marks() -> None:
    assert inline("a `<b>` **c** <i>") == "a <code>&lt;b&gt;</code> <strong>c</strong> &lt;i&gt;"
    assert prose("one\n\n- a\n  b\n- c") == "<p>one</p>\n<ul><li>a\n  b</li><li>c</li></ul>"


# Over HTTP


def ask(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    app: Any = Starlette(routes=contract_routes(models=["m"]))
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": None,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "server": ("a", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    head = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], head, b"".join(message.get("body", b"") for message in said[1:])


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/docs/{name}" for name in FAMILIES)])
def test_pages_allow_nothing_but_their_own_files(path: str) -> None:
    status, head, body = ask(path)
    assert (status, head["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in head["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == policy["script-src"] == "'self'"
    assert "unsafe" not in head["content-security-policy"]
    assert head["x-content-type-options"] == "nosniff"
    assert body.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/openapi.json", "application/json"),
        ("/docs/static/docs.css", "text/css; charset=utf-8"),
        ("/docs/static/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/static/mark.svg", "image/svg+xml"),
    ],
)
def test_files_and_the_document_are_asked_for_once(path: str, media: str) -> None:
    status, head, body = ask(path)
    assert (status, head["content-type"]) == (200, media)
    assert body
    status, again, body = ask(path, if_none_match=head["etag"])
    assert (status, body, again["etag"]) == (304, b"", head["etag"])
    assert path != "/openapi.json" or json.loads(ask(path)[2])["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/front", "/docs/overview", "/docs/static/..%2Fpages.py", "/docs/static/x"]
)
def test_what_there_is_not(path: str) -> None:
    with pytest.raises(ApiError) as refused:
        ask(path)
    assert refused.value.status_code == 404


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from abyssal.contract.http import contract_routes; contract_routes(models=['m']); "
        "print([name for name in sys.modules if name.startswith(('jinja2', 'abyssal.gateway', 'abyssal.contract.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['abyssal.contract.http']"
