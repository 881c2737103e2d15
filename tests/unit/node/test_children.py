"""What a worker is not told."""

from __future__ import annotations

from abyssal.config import parse_config
from abyssal.node.children import environ_of_children, without_database

CONFIG = """
[stores]
database_url = "postgresql://user:secret@h/d"
redis_url = "redis://h"
[identity]
master_key = { env = "RING" }
"""


def test_secrets_do_not_go_along() -> None:
    environ = {
        "RING": "mk_1 x",
        "ABYSSAL_API_KEY": "sk-x",
        "ABYSSAL_DATABASE_URL": "p",
        "PATH": "/bin",
        "LANG": "C",
    }
    config = parse_config(CONFIG, {})
    assert environ_of_children(environ, config) == {"PATH": "/bin", "LANG": "C"}
    told = without_database(config)
    assert told.stores.database_url is None
    assert told.stores.redis_url == config.stores.redis_url
