"""Reads the TOML file: what it says as typed values, or what is wrong with it in one sentence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from abyssal.config.defaults import default_config
from abyssal.config.types import (
    Config,
    ConversationsConfig,
    EngineUpstream,
    FilesConfig,
    IdentityConfig,
    LimitsConfig,
    MasterKeySource,
    Model,
    OpenAIUpstream,
    Repairs,
    Secret,
    ServerConfig,
    StoresConfig,
    Target,
    Upstream,
)
from abyssal.config.values import (
    as_secret,
    check_base_url,
    check_ca_file,
    check_issuer,
    check_networks,
    check_redis_url,
    parse_listen,
)
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import ConfigurationError

_SECRETS = frozenset({"api_key", "database_url", "redis_url"})


def load_config(path: Path, environ: Mapping[str, str], *, state_only: bool = False) -> Config:
    """The configuration in a TOML file; with `state_only` without upstreams and models, and their secrets.

    Raises ConfigurationError with the key's path and the nearest known name: one problem, one sentence.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name a readable file") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    try:
        return parse_config(text, environ, state_only=state_only)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}") from None


def parse_config(text: str, environ: Mapping[str, str], *, state_only: bool = False) -> Config:
    """As `load_config`, from the text of the file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML: {error}") from None
    _known(document, _fields(Config), "")
    if state_only:
        document = {name: value for name, value in document.items() if name not in ("upstreams", "models")}
    upstreams = tuple(
        _upstream(item, f"upstreams[{index}]", environ) for index, item in _array(document, "upstreams")
    )
    models = tuple(
        _convert(item, Model, f"models[{index}]", environ) for index, item in _array(document, "models")
    )
    config = Config(
        server=_convert(document.get("server", {}), ServerConfig, "server", environ),
        limits=_convert(document.get("limits", {}), LimitsConfig, "limits", environ),
        stores=_convert(document.get("stores", {}), StoresConfig, "stores", environ),
        identity=_convert(document.get("identity", {}), IdentityConfig, "identity", environ),
        conversations=_convert(
            document.get("conversations", {}), ConversationsConfig, "conversations", environ
        ),
        files=_convert(document.get("files", {}), FilesConfig, "files", environ),
        upstreams=upstreams,
        models=models,
    )
    if not upstreams and not models and not state_only:
        standard = default_config(environ)
        config = msgspec.structs.replace(config, upstreams=standard.upstreams, models=standard.models)
    _check_references(config)
    parse_listen(config.server.listen, "server.listen")
    check_networks(config.server.trusted_proxies, "server.trusted_proxies")
    check_issuer(config.identity.issuer, "identity.issuer")
    if config.stores.redis_url is not None:
        check_redis_url(config.stores.redis_url, "stores.redis_url")
    return config


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
        for name in upstream.ignores if isinstance(upstream, OpenAIUpstream) else ():
            _known({name: None}, list(ChatRequest.__struct_fields__), f"{where}.ignores")
        check_base_url(upstream.base_url, f"{where}.base_url")
        if upstream.ca_file:
            check_ca_file(upstream.ca_file, f"{where}.ca_file")
    return upstream


def _convert(item: Any, cls: type[Any], where: str, environ: Mapping[str, str]) -> Any:
    if isinstance(item, dict):
        table: dict[str, Any] = item  # pyright: ignore[reportUnknownVariableType]
        _known(table, _fields(cls), where)
        item = {
            key: _secret(value, f"{where}.{key}", environ) if key in _SECRETS else value
            for key, value in table.items()
        }
    try:
        return msgspec.convert(item, cls, dec_hook=_as_it_is)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        deeper = path.removesuffix("`")
        unknown = re.search(r"unknown field `([^`]+)`", problem)
        if unknown:
            inner = {".targets": Target, ".master_key": MasterKeySource, ".repairs": Repairs}
            known = _fields(next((inner[name] for name in inner if name in deeper), cls))
            _known({unknown[1]: None}, known, where + deeper)
        if "missing required field" in problem:
            field = problem.split("`")[1]
            raise ConfigurationError(f"{where}{deeper}.{field}: is missing; it has no default") from None
        known = "".join(_choices(cls, deeper)) if "enum value" in problem else ""
        raise ConfigurationError(f"{where}{deeper}: {problem[0].lower()}{problem[1:]}{known}") from None


def _choices(cls: type[Any], path: str) -> list[str]:
    """What a setting of few values may be, as the end of a sentence."""
    return [
        f"; one of {', '.join(map(repr, get_args(field.type)))} is needed"
        for field in msgspec.structs.fields(cls)
        if f".{field.name}" == path and get_origin(field.type) is Literal
    ]


def _as_it_is(_: type[Any], value: Any) -> Any:
    return value


def _secret(value: Any, where: str, environ: Mapping[str, str]) -> Secret:
    match value:
        case str():
            return as_secret(value, where)
        case {"env": str() as name, **rest} if not rest:
            if not environ.get(name):
                raise ConfigurationError(f"{where}: the environment variable {name} is not set")
            return as_secret(environ[name], f"{where}: the environment variable {name}")
        case {"file": str() as name, **rest} if not rest:
            try:
                text = Path(name).read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ConfigurationError(f"{where}: {name} cannot be read ({error.strerror})") from None
            return as_secret(text, f"{where}: {name}")
        case _:
            raise ConfigurationError(f'{where}: write a string, {{ env = "NAME" }} or {{ file = "PATH" }}')


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
