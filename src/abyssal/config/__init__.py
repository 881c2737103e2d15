"""What an operator may set: the TOML file as typed values, and what runs when there is none."""

from __future__ import annotations

from abyssal.config.defaults import CHAT_NAMES, EMBEDDING_NAME, default_config
from abyssal.config.file import load_config, parse_config
from abyssal.config.types import (
    BUNDLED_MODEL,
    Config,
    ConversationsConfig,
    DeepSeekUpstream,
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
    check_front,
    check_redis_url,
    data_directory,
    files_directory,
    parse_listen,
)

__all__ = [
    "BUNDLED_MODEL",
    "CHAT_NAMES",
    "EMBEDDING_NAME",
    "Config",
    "ConversationsConfig",
    "DeepSeekUpstream",
    "EngineUpstream",
    "FilesConfig",
    "IdentityConfig",
    "LimitsConfig",
    "MasterKeySource",
    "Model",
    "OpenAIUpstream",
    "Repairs",
    "Secret",
    "ServerConfig",
    "StoresConfig",
    "Target",
    "Upstream",
    "check_front",
    "check_redis_url",
    "data_directory",
    "default_config",
    "files_directory",
    "load_config",
    "parse_config",
    "parse_listen",
]
