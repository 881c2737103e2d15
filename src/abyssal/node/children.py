"""What child processes need not know: a secret that is not there cannot be read from a process's memory."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from abyssal.config import Config

_SECRET = frozenset({"ABYSSAL_API_KEY", "ABYSSAL_DATABASE_URL", "ABYSSAL_REDIS_URL", "DEEPSEEK_API_KEY"})


def environ_of_children(environ: Mapping[str, str], config: Config) -> dict[str, str]:
    """The environment without what holds a secret: those above, and the master key's own variable."""
    hidden = _SECRET | {config.identity.master_key.env}
    return {name: value for name, value in environ.items() if name not in hidden}


def without_database(config: Config) -> Config:
    """What a worker is told: it opens no database."""
    return msgspec.structs.replace(config, stores=msgspec.structs.replace(config.stores, database_url=None))
