"""The configuration as typed values. Sizes are bytes, times are seconds.

It knows the shape of the file. It does not know how one is read, nor what the settings do.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]

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
    tls_cert: str = ""
    tls_key: str = ""
    tls_min: Literal["1.2", "1.3"] = "1.3"
    tls_client_ca: str = ""
    allow_plaintext: bool = False
    trusted_proxies: tuple[str, ...] = ()


class StoresConfig(_Table, frozen=True, kw_only=True):
    """`[stores]`: where state rests; without them SQLite in the data directory, and no Redis."""

    database_url: Secret | None = None
    redis_url: Secret | None = None


class MasterKeySource(_Table, frozen=True, kw_only=True):
    """Where the master key comes from: exactly one of the three. None given: `master.key` in the data."""

    file: str = ""
    env: str = ""
    command: tuple[str, ...] = ()


class IdentityConfig(_Table, frozen=True, kw_only=True):
    """`[identity]`: tokens, failed attempts, nonces. Rates are per minute, `rotate_after` is in days."""

    issuer: str = ""
    token_lifetime: Annotated[int, msgspec.Meta(ge=60, le=86400)] = 3600
    token_key_days: Count = 30
    master_key: MasterKeySource = MasterKeySource()
    failures_per_address: Count = 60
    failures_per_key: Count = 20
    nonces: Count = 1_000_000
    rotate_after: Count = 30


class ConversationsConfig(_Table, frozen=True, kw_only=True):
    """`[conversations]`: how they rest, for how long, and how long a call waits for its turn."""

    encrypt_conversations: bool = False
    ttl: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 2_592_000
    wait: Seconds = 30.0
    waiting: Annotated[int, msgspec.Meta(ge=0)] = 16


class FilesConfig(_Table, frozen=True, kw_only=True):
    """`[files]`: what clients upload. `directory`: "" is `files` in the data directory.

    `per_project` bounds what one project stores, `in_chat` what one chat's files bring into it.
    """

    directory: str = ""
    max_size: Count = 512 * 1024 * 1024
    per_project: Count = 10 * 1024 * 1024 * 1024
    in_chat: Count = 20 * 1024 * 1024


class LimitsConfig(_Table, frozen=True, kw_only=True):
    """`[limits]`: calls at once, per worker process; bytes kept of resumable streams, of each and of all."""

    concurrency: Count = 8192
    concurrency_per_key: Count = 2500
    resume_buffer: Count = 384 * 1024
    resume_memory: Count = 96 * 1024 * 1024


class Repairs(_Table, frozen=True, kw_only=True):
    """What is repaired of an upstream's calls; None is as its kind has it. See docs/repairs.md."""

    reasoning_content: bool | None = None
    thinking_tool_choice: bool | None = None
    legacy_functions: bool | None = None
    tools_as_functions: bool | None = None
    flat_content: bool | None = None
    leaked_tool_calls: bool | None = None
    reasoning_field: bool | None = None
    empty_json: bool | None = None
    json_schema: bool | None = None
    strict_tools: bool | None = None
    usage: bool | None = None
    blank_lines: bool | None = None
    error_label: bool | None = None


class EngineUpstream(_Table, frozen=True, kw_only=True, tag_field="kind", tag="engine"):
    """A model that the embedded engine runs. `context`: tokens per slot. `threads`: 0 suits the machine.

    `embedding_tokens`: of the longest input that is embedded; 0 for no embeddings.
    """

    name: Name
    model: str = BUNDLED_MODEL
    context: Count = 4096
    slots: Count = 4
    queue: Annotated[int, msgspec.Meta(ge=0)] = 64
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    embedding_tokens: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 2048
    zone: str = ""
    first_byte_timeout: Seconds = 600.0
    idle_timeout: Seconds = 120.0
    repairs: Repairs = Repairs()


class _HttpUpstream(_Table, frozen=True, kw_only=True):
    name: Name
    api_key: Secret | None = None
    zone: str = ""
    ca_file: str = ""
    connect_timeout: Seconds = 5.0
    first_byte_timeout: Seconds = 600.0
    idle_timeout: Seconds = 120.0
    repairs: Repairs = Repairs()


class DeepSeekUpstream(_HttpUpstream, frozen=True, kw_only=True, tag_field="kind", tag="deepseek"):
    """The official service. `takes_files`: it reads `file` parts with bytes in them itself."""

    base_url: str = "https://api.deepseek.com"
    takes_files: bool = True


class OpenAIUpstream(_HttpUpstream, frozen=True, kw_only=True, tag_field="kind", tag="openai"):
    """Any OpenAI-compatible server: vLLM, SGLang, Ollama, ... `ignores`: parameters without effect there."""

    base_url: str
    ignores: tuple[str, ...] = ()
    takes_files: bool = False


Upstream = EngineUpstream | DeepSeekUpstream | OpenAIUpstream


class Target(_Table, frozen=True, kw_only=True):
    """One upstream that can answer a model, and the name it knows the model by ("" for the same)."""

    upstream: str
    model: str = ""
    weight: Count = 1


class Model(_Table, frozen=True, kw_only=True):
    """An entry of the model table: the name that clients use. `context`: tokens that it holds, 0: unknown."""

    name: Name
    targets: Annotated[tuple[Target, ...], msgspec.Meta(min_length=1)]
    owned_by: str = "deepseek"
    context: Annotated[int, msgspec.Meta(ge=0)] = 0


class Config(_Table, frozen=True, kw_only=True):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    stores: StoresConfig = StoresConfig()
    identity: IdentityConfig = IdentityConfig()
    conversations: ConversationsConfig = ConversationsConfig()
    files: FilesConfig = FilesConfig()
    upstreams: tuple[Upstream, ...] = ()
    models: tuple[Model, ...] = ()

    def upstream(self, name: str) -> Upstream:
        """The upstream of that name; KeyError when there is none."""
        for upstream in self.upstreams:
            if upstream.name == name:
                return upstream
        raise KeyError(name)
