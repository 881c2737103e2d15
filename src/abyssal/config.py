"""What an operator may set: the TOML file as typed values, and what runs when there is none.

It knows the shape of the configuration and how to say what is wrong with it. It does not know what the
settings do. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec

from abyssal.wire.errors import ConfigurationError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]

# The names that the specification promises; each is only an entry of the model table.
CHAT_NAMES = (
    "deepseek-chat",
    "deepseek-code",
    "deepseek-doc",
    "deepseek-math",
    "deepseek-v3",
    "deepseek-v3-openai",
    "deepseek-reasoner",
    "deepseek-chat-7b",
    "deepseek-zh-7b",
    "deepseek-flash",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
)
_OFFICIAL = {"deepseek-v4-pro": "deepseek-v4-pro"}  # every other name is answered by flash

BUNDLED_MODEL = "abyssal-tiny"


class Secret:
    """A value that must not be shown: `reveal()` gives it, nothing else does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table: unknown keys are errors."""


class ServerConfig(_Table, frozen=True, kw_only=True):
    """`[server]`: where the platform listens and how patient it is."""

    listen: str = "127.0.0.1:8000"
    data: str = ""
    workers: Count = 1
    grace: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 30.0
    idle_timeout: Seconds = 75.0
    stalled_reader_timeout: Seconds = 60.0
    keep_alive_comment: Seconds = 15.0
    max_body: Count = 48 * 1024 * 1024


class LimitsConfig(_Table, frozen=True, kw_only=True):
    """`[limits]`: calls at once, per worker process."""

    concurrency: Count = 8192
    concurrency_per_key: Count = 2500


class EngineUpstream(_Table, frozen=True, kw_only=True, tag_field="kind", tag="engine"):
    """A model that the embedded engine runs. `context`: tokens per slot. `threads`: 0 suits the machine."""

    name: Name
    model: str = BUNDLED_MODEL
    context: Count = 4096
    slots: Count = 4
    queue: Annotated[int, msgspec.Meta(ge=0)] = 64
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    zone: str = ""
    first_byte_timeout: Seconds = 600.0
    idle_timeout: Seconds = 120.0


class _HttpUpstream(_Table, frozen=True, kw_only=True):
    name: Name
    api_key: Secret | None = None
    zone: str = ""
    ca_file: str = ""
    connect_timeout: Seconds = 5.0
    first_byte_timeout: Seconds = 600.0
    idle_timeout: Seconds = 120.0


class DeepSeekUpstream(_HttpUpstream, frozen=True, kw_only=True, tag_field="kind", tag="deepseek"):
    """The official service."""

    base_url: str = "https://api.deepseek.com"


class OpenAIUpstream(_HttpUpstream, frozen=True, kw_only=True, tag_field="kind", tag="openai"):
    """Any OpenAI-compatible server: vLLM, SGLang, Ollama, ..."""

    base_url: str


Upstream = EngineUpstream | DeepSeekUpstream | OpenAIUpstream


class Target(_Table, frozen=True, kw_only=True):
    """One upstream that can answer a model, and the name it knows the model by ("" for the same)."""

    upstream: str
    model: str = ""
    weight: Count = 1


class Model(_Table, frozen=True, kw_only=True):
    """An entry of the model table: the name that clients use."""

    name: Name
    targets: Annotated[tuple[Target, ...], msgspec.Meta(min_length=1)]
    owned_by: str = "deepseek"


class Config(_Table, frozen=True, kw_only=True):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    upstreams: tuple[Upstream, ...] = ()
    models: tuple[Model, ...] = ()

    def upstream(self, name: str) -> Upstream:
        """The upstream of that name; KeyError when there is none."""
        for upstream in self.upstreams:
            if upstream.name == name:
                return upstream
        raise KeyError(name)


def default_config(environ: Mapping[str, str], *, model: str = BUNDLED_MODEL) -> Config:
    """What runs without a file: the embedded engine, and the official service when its key is known.

    `model` is what the engine loads: the bundled model's name or the path of a GGUF file.
    """
    engine = EngineUpstream(name="engine", model=model)
    local = Target(upstream="engine", model=BUNDLED_MODEL if model == BUNDLED_MODEL else Path(model).stem)
    own_name = local.model
    key = environ.get("DEEPSEEK_API_KEY", "").strip()
    if not key:
        names = dict.fromkeys((own_name, *CHAT_NAMES))
        models = tuple(Model(name=name, targets=(local,), owned_by="abyssal") for name in names)
        return Config(upstreams=(engine,), models=models)
    base_url = environ.get("DEEPSEEK_BASE_URL", "") or "https://api.deepseek.com"
    _check_base_url(base_url, "DEEPSEEK_BASE_URL")
    cloud = DeepSeekUpstream(name="deepseek", api_key=_as_secret(key, "DEEPSEEK_API_KEY"), base_url=base_url)
    models = [Model(name=own_name, targets=(local,), owned_by="abyssal")]
    for name in CHAT_NAMES:
        official = _OFFICIAL.get(name, "deepseek-flash")
        models.append(Model(name=name, targets=(Target(upstream="deepseek", model=official),)))
    return Config(upstreams=(cloud, engine), models=tuple(models))


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in a TOML file.

    Raises ConfigurationError with the key's path and the nearest known name: one problem, one sentence.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name a readable file") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    try:
        return parse_config(text, environ)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}") from None


def parse_config(text: str, environ: Mapping[str, str]) -> Config:
    """As `load_config`, from the text of the file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML: {error}") from None
    _known(document, _fields(Config), "")
    upstreams = tuple(
        _upstream(item, f"upstreams[{index}]", environ) for index, item in _array(document, "upstreams")
    )
    models = tuple(
        _convert(item, Model, f"models[{index}]", environ) for index, item in _array(document, "models")
    )
    config = Config(
        server=_convert(document.get("server", {}), ServerConfig, "server", environ),
        limits=_convert(document.get("limits", {}), LimitsConfig, "limits", environ),
        upstreams=upstreams,
        models=models,
    )
    if not upstreams and not models:
        standard = default_config(environ)
        config = msgspec.structs.replace(config, upstreams=standard.upstreams, models=standard.models)
    _check_references(config)
    parse_listen(config.server.listen, "server.listen")
    return config


def parse_listen(text: str, where: str = "--listen") -> tuple[str, int]:
    """`HOST:PORT` (also `[::1]:PORT`) as host and port (0 to 65535; 0 chooses a free one)."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigurationError(f'{where}: "{text}" is not HOST:PORT; write for example 127.0.0.1:8000')
    return host, int(port)


def _array(document: dict[str, Any], key: str) -> list[tuple[int, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise ConfigurationError(f"{key}: must be an array of tables; write [[{key}]]")
    return list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _upstream(item: Any, where: str, environ: Mapping[str, str]) -> Upstream:
    kinds = {str(cls.__struct_config__.tag): cls for cls in get_args(Upstream)}
    table: dict[str, Any] = item if isinstance(item, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    kind: Any = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        said = "is missing" if kind is None else f"is {kind!r}"
        hint = _nearest(str(kind), list(kinds))
        raise ConfigurationError(f"{where}.kind: {said}; one of {', '.join(kinds)} is needed{hint}")
    upstream: Upstream = _convert(item, kinds[kind], where, environ)
    if not isinstance(upstream, EngineUpstream):
        _check_base_url(upstream.base_url, f"{where}.base_url")
        if upstream.ca_file:
            _check_ca_file(upstream.ca_file, f"{where}.ca_file")
    return upstream


_BASE_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:/[!-~]*)?"
)


def _check_base_url(url: str, where: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigurationError(f"{where}: a credential in an address is shown in logs; set api_key instead")
    match = _BASE_URL.fullmatch(url)
    if match is None or "?" in url or "#" in url or not 0 < int(match["port"] or 80) < 65536:
        raise ConfigurationError(
            f"{where}: {url!r} is not an http:// or https:// address of ASCII host, port and path; "
            "write for example https://host:8000/v1"
        )


def _check_ca_file(path: str, where: str) -> None:
    import ssl  # only those who set it wait for it

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise ConfigurationError(
            f"{where}: {path} holds no certificates ({error.strerror or error}); name a PEM file"
        ) from None


def _convert(item: Any, cls: type[Any], where: str, environ: Mapping[str, str]) -> Any:
    if isinstance(item, dict):
        _known(item, _fields(cls), where)  # pyright: ignore[reportUnknownArgumentType]

    def secret(kind: type[Any], value: Any) -> Any:
        return _secret(value, f"{where}.api_key", environ)

    try:
        return msgspec.convert(item, cls, dec_hook=secret)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        deeper = path.removesuffix("`")
        unknown = re.search(r"unknown field `([^`]+)`", problem)
        if unknown:
            known = _fields(Target) if ".targets" in deeper else _fields(cls)
            _known({unknown[1]: None}, known, where + deeper)
        if "missing required field" in problem:
            field = problem.split("`")[1]
            raise ConfigurationError(f"{where}{deeper}.{field}: is missing; it has no default") from None
        raise ConfigurationError(f"{where}{deeper}: {problem[0].lower()}{problem[1:]}") from None


def _secret(value: Any, where: str, environ: Mapping[str, str]) -> Secret:
    match value:
        case str():
            return _as_secret(value, where)
        case {"env": str() as name, **rest} if not rest:
            if not environ.get(name):
                raise ConfigurationError(f"{where}: the environment variable {name} is not set")
            return _as_secret(environ[name], f"{where}: the environment variable {name}")
        case {"file": str() as name, **rest} if not rest:
            try:
                text = Path(name).read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ConfigurationError(f"{where}: {name} cannot be read ({error.strerror})") from None
            return _as_secret(text, f"{where}: {name}")
        case _:
            raise ConfigurationError(f'{where}: write a string, {{ env = "NAME" }} or {{ file = "PATH" }}')


def _as_secret(text: str, where: str) -> Secret:
    """A credential for a header line: one line of printable ASCII."""
    text = text.strip()
    if not re.fullmatch("[!-~]+", text):
        what = "has blanks, line ends or characters outside ASCII" if text else "is empty"
        raise ConfigurationError(f"{where}: the key {what}; give one line of printable ASCII, or no api_key")
    return Secret(text)


def _check_references(config: Config) -> None:
    for label, names in (
        ("upstreams", [upstream.name for upstream in config.upstreams]),
        ("models", [model.name for model in config.models]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ConfigurationError(f'{label}[{index}].name: "{name}" is there twice; names are unique')
    known = [upstream.name for upstream in config.upstreams]
    for index, model in enumerate(config.models):
        for place, target in enumerate(model.targets):
            if target.upstream not in known:
                where = f"models[{index}].targets[{place}].upstream"
                hint = _nearest(target.upstream, known)
                raise ConfigurationError(
                    f'{where}: there is no upstream "{target.upstream}"{hint} (model "{model.name}")'
                )


def _known(item: dict[str, Any], known: list[str], where: str) -> None:
    for key in item:
        if key not in known:
            path = f"{where}.{key}" if where else key
            hint = _nearest(key, known) or f"; known here: {', '.join(known)}"
            raise ConfigurationError(f"{path}: unknown key{hint}")


def _fields(cls: type[Any]) -> list[str]:
    tag = cls.__struct_config__.tag_field
    return [*([tag] if tag else []), *cls.__struct_fields__]


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def data_directory(config: Config, given: str | None, environ: Mapping[str, str]) -> Path:
    """Where state lives: `--data`, else the file's, else ABYSSAL_DATA, else `~/.abyssal`."""
    chosen = given or config.server.data or environ.get("ABYSSAL_DATA", "")
    return Path(os.path.expanduser(chosen or "~/.abyssal")).absolute()
