"""Which database it is, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from abyssal.config import Secret, StoresConfig
from abyssal.stores.sql.address import database_url, parse_database_url, shown, sqlite_url
from abyssal.wire.errors import ConfigurationError

DATA = Path("/data/here")
VARIABLE = "ABYSSAL_DATABASE_URL"


def test_the_configuration_comes_first_then_the_environment_then_a_file() -> None:
    configured = StoresConfig(database_url=Secret("postgresql://a@h/one"))
    environ = {VARIABLE: " postgresql://a@h/two\n"}
    assert database_url(configured, DATA, environ) == "postgresql://a@h/one"
    assert database_url(StoresConfig(), DATA, environ) == "postgresql://a@h/two"
    assert database_url(StoresConfig(), DATA, {VARIABLE: " "}) == "sqlite:////data/here/abyssal.db"
    assert database_url(StoresConfig(), DATA, {}) == "sqlite:////data/here/abyssal.db"


@pytest.mark.parametrize("name", ["a b", "50%", "what?x=1", "名#1", "a@b:c", "%2e"])
def test_a_path_comes_back_as_it_was(name: str) -> None:
    parsed = parse_database_url(sqlite_url(DATA / name))
    assert parsed.database == shown(parsed) == str(DATA / name)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_by_its_usual_names(scheme: str) -> None:
    parsed = parse_database_url(f"{scheme}://joe:p%40ss@db.example:5433/shop?sslmode=require&password=x")
    assert parsed.drivername == "postgresql+psycopg"
    assert parsed.password == "p@ss"
    assert shown(parsed) == "postgresql://joe:***@db.example:5433/shop"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://joe:geheim@h/x", "'mysql' is not supported"),
        ("postgresql+asyncpg://joe:geheim@h/x", "is not supported"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("sqlite:///a.db?mode=geheim", "name a file and nothing else"),
        ("sqlite://geheim/a.db", "name a file and nothing else"),
        ("/data/geheim.db", "not an address"),
        ("joe:geheim@h", "not an address"),
        ("postgresql://joe:geheim@h:port/x", "not an address"),
        ("", "not an address"),
    ],
)
def test_anything_else_is_refused_without_being_repeated(url: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as refusal:
        parse_database_url(url)
    assert "geheim" not in refusal.value.message
    assert refusal.value.__cause__ is None
