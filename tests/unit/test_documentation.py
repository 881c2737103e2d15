"""What is documented is so, and what there is is documented: settings, routes, error codes."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.documented import has_lines_of_its_own, lines_on_the_page

from abyssal import config
from abyssal.config import Secret, parse_config
from abyssal.contract.operations import OPERATIONS
from abyssal.gateway.dialects.anthropic_request import MessagesRequest
from abyssal.gateway.dialects.completions_request import CompletionRequest
from abyssal.gateway.dialects.responses_request import ResponsesRequest
from abyssal.platform.http.management import ENDPOINTS
from abyssal.wire import errors
from abyssal.wire.chat_request import ChatRequest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "abyssal"


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


# Settings

TABLES: dict[str, Any] = {
    "## `[server]`": config.ServerConfig,
    "## `[limits]`": config.LimitsConfig,
    "## `[stores]`": config.StoresConfig,
    "## `[files]`": config.FilesConfig,
    "## `[identity]`": config.IdentityConfig,
    "## `[conversations]`": config.ConversationsConfig,
    "### `master_key`": config.MasterKeySource,
    '### `kind = "engine"`': config.EngineUpstream,
    '### `kind = "deepseek"`': config.DeepSeekUpstream,
    '### `kind = "openai"`': config.OpenAIUpstream,
    "### `repairs`": config.Repairs,
    "## `[[models]]`": config.Model,
    "### `targets`": config.Target,
}


def section(heading: str) -> str:
    text = document("configuration.md")
    assert text.count(heading + "\n") == 1, f"no section {heading}"
    body = text.partition(heading + "\n")[2]
    return re.split(r"^##", body, maxsplit=1, flags=re.MULTILINE)[0]


def written(field: msgspec.structs.FieldInfo) -> str:
    """A default as the page writes it."""
    if field.required:
        return "required"
    if field.default is None:
        return "none"
    if isinstance(field.default, msgspec.Struct):
        return "`{}`"  # a table of its own, none of it set
    return f"`{msgspec.json.encode(field.default).decode()}`"


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_has_a_row_with_its_default(heading: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section(heading), flags=re.MULTILINE))
    assert rows == {field.name: written(field) for field in msgspec.structs.fields(TABLES[heading])}


def test_every_table_of_the_file_has_a_section() -> None:
    assert {*get_args(config.Upstream)} <= {*TABLES.values()}
    for field in msgspec.structs.fields(config.Config):
        assert f"## `[{field.name}]`" in TABLES or f"[[{field.name}]]" in document("configuration.md")


def examples() -> dict[str, str]:
    text = document("configuration.md")
    found = re.findall(r"^## Example: (.*?)\n.*?```toml\n(.*?)```", text, flags=re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.mark.parametrize("name", ["the official service", "vLLM behind the gateway"])
def test_the_examples_are_complete_configurations(name: str) -> None:
    environ = {"DEEPSEEK_API_KEY": "sk-cloud", "VLLM_API_KEY": "sk-vllm"}
    parsed = parse_config(examples()[name], environ)
    assert parsed.models
    assert any(getattr(upstream, "api_key", None) for upstream in parsed.upstreams)


def test_the_ways_to_write_a_secret(tmp_path: Path) -> None:
    lines = re.findall(r"^(api_key = .*?)(?: +#.*)?$", document("configuration.md"), flags=re.MULTILINE)
    ways = [line for line in lines if "VLLM" not in line][:4]
    assert len(ways) >= 3
    (tmp_path / "key").write_text("sk-x")
    for line in ways:
        line = line.replace("/run/secrets/key", str(tmp_path / "key"))
        text = f'[[upstreams]]\nname = "a"\nkind = "deepseek"\n{line}\n'
        assert isinstance(parse_config(text, {"DEEPSEEK_API_KEY": "sk"}).upstreams[0].api_key, Secret)  # type: ignore[union-attr]


def test_every_variable_of_the_environment_is_named() -> None:
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        names |= set(re.findall(r"\b(?:ABYSSAL|DEEPSEEK)_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    pages = "".join(
        path.read_text(encoding="utf-8") for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    )
    assert {name for name in names if name not in pages} == set()


# Routes


def test_every_route_is_on_the_page() -> None:
    page = document("api.md").replace("NAME", "{model}")
    for operation in OPERATIONS:
        if operation.path.startswith("/v1/platform/"):
            continue  # docs/identity.md has them
        route = f"`{operation.method} {operation.path}`"
        assert route in page, f"{route} is not in docs/api.md"


def test_every_management_endpoint_is_on_the_page() -> None:
    rows = re.findall(
        r"^\| `(GET|POST|PATCH|DELETE) /v1/platform(/[^`]*)` \|", document("identity.md"), flags=re.MULTILINE
    )
    alike = re.compile(r"^/(clients|signing-keys|public-keys)(?=/|$)")  # have the routes of /keys
    wanted = {(endpoint.method, alike.sub("/keys", endpoint.path)) for endpoint in ENDPOINTS}
    assert sorted(rows) == sorted(wanted)


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_page_has_the_example_of_every_route(language: str) -> None:
    wanted = {
        operation.curl_line if language == "sh" else operation.python_line
        for operation in OPERATIONS
        if has_lines_of_its_own(operation)
    }
    found = lines_on_the_page(language)
    assert wanted - set(found) == set(), "not in docs/api.md: add these lines to the section of their family"
    assert sorted(found) == sorted(wanted), "in docs/api.md, and no operation's line"


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## `POST /v1/chat/completions`", ChatRequest),
        ("## Text", CompletionRequest),
        ("## Anthropic", MessagesRequest),
        ("## Responses", ResponsesRequest),
    ],
)
def test_the_table_of_fields_is_the_request_s(heading: str, kind: Any) -> None:
    text = document("api.md").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
        kind.__struct_encode_fields__
    )


# Errors


def codes_in_the_source() -> set[str]:
    """Each `code="..."`, each `default_code`, and each code that is settled."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            if any("default_code" in ast.dump(target) for target in targets):
                value = node.value  # type: ignore[attr-defined]
                last = value.elts[-1] if isinstance(value, ast.Tuple) else value
                found.add(str(last.value))
    relay = (SOURCE / "gateway" / "relay" / "call.py").read_text(encoding="utf-8")
    found |= set(re.findall(r'_settle(?:_stream)?\([^)]*"(\w+)"', relay))
    found |= set(re.findall(r'"(upstream_[a-z_]+)"\)?$', relay, flags=re.MULTILINE))
    found |= set(
        re.findall(r'"(worker_lost)"', (SOURCE / "platform" / "drain.py").read_text(encoding="utf-8"))
    )
    return found - {"None", ""}


def table_of(heading: str) -> dict[str, list[str]]:
    """Rows of a table of docs/errors.md by their first cell."""
    body = document("errors.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in body.splitlines()
        if "|" in line
    ]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_code_is_on_the_page_and_nothing_else_is() -> None:
    codes = codes_in_the_source()
    assert {"duplicate_key", "client_gone", "upstream_closed", "worker_lost", "http_version"} <= codes
    page = set(table_of("By code"))
    assert codes - page == set(), "in the source, not in docs/errors.md"
    assert page - codes == set(), "in docs/errors.md, not in the source"


def test_the_classes_are_as_the_page_says() -> None:
    table = table_of("By status")
    for status, (kind, name, retry, _) in table.items():
        found = errors.error_for_status(int(status))
        assert found.__name__ == name, status
        assert found.retryable is (retry == "yes"), status
        if found.status == int(status):
            assert found.type == kind, status
    statuses = {cls.status for cls in errors.ApiError.__subclasses__()}
    assert statuses <= {int(status) for status in table}


def test_the_error_object_on_the_page_is_one() -> None:
    example = re.search(r"```json\n(.*?)```", document("errors.md"), flags=re.DOTALL)
    assert example is not None
    body = msgspec.json.decode(example[1], type=errors.ErrorBody)
    assert body.error.param == "max_tokens"


def test_toml_on_every_page_is_toml() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            if block.count("api_key") < 3:  # the three ways to write one are no file
                tomllib.loads(block)
