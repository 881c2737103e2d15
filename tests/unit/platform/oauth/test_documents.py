"""What the authorization server publishes about itself, and that it keeps to it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from abyssal.platform.oauth.metadata import server_metadata
from abyssal.stores.rights import SCOPES

from .office import CLIENT, ISSUER, SECRET, Office


def test_the_metadata_of_rfc_8414(office: Office) -> None:
    answer = office.get("/.well-known/oauth-authorization-server")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    said = answer.json
    assert said["issuer"] == ISSUER
    assert said["grant_types_supported"] == ["client_credentials"]
    assert said["response_types_supported"] == ["none"]
    assert all(said.values())  # a list without elements must be left out (§3.2)
    assert said["scopes_supported"] == list(SCOPES)
    assert "authorization_endpoint" not in said


def test_what_it_names_is_there_and_does_what_it_says(office: Office) -> None:
    said = office.get("/.well-known/oauth-authorization-server").json
    for name in ("token", "revocation", "introspection"):
        path = urlsplit(said[f"{name}_endpoint"]).path
        fields = {"grant_type": said["grant_types_supported"][0], "token": "x"}
        for method in said[f"{name}_endpoint_auth_methods_supported"]:
            if method == "client_secret_basic":
                answer = office.post(path, fields, basic=(CLIENT, SECRET))
            else:
                assert method == "client_secret_post"
                answer = office.post(path, {**fields, "client_id": CLIENT, "client_secret": SECRET})
            assert answer.status == 200, (name, method, answer.body)
        assert office.get(path).status == 405
    assert office.get(urlsplit(said["jwks_uri"]).path).status == 200


@pytest.mark.parametrize(
    "issuer", ["https://api.example", "https://api.example/", "https://api.example/abyssal"]
)
def test_addresses_are_below_the_issuer(issuer: str) -> None:
    said = server_metadata(issuer)
    assert said["issuer"] == issuer
    assert said["token_endpoint"] == issuer.rstrip("/") + "/oauth/token"


def test_every_scope_can_be_asked_for(office: Office) -> None:
    from abyssal.stores.sql.schema import credentials

    scopes = office.get("/.well-known/oauth-authorization-server").json["scopes_supported"]
    office.change(credentials, CLIENT, scopes='["' + '","'.join(scopes) + '"]')
    for scope in scopes:
        assert office.token(scope=scope).json["scope"] == scope


def test_the_key_set_without_the_database(office: Office) -> None:
    """Who verifies tokens goes on; a server that never saw a key says that it cannot tell."""

    def gone(*_: object) -> None:
        raise OperationalError("SELECT", None, ConnectionError("the database is gone"))

    path = "/.well-known/jwks.json"
    office.token()
    fresh, before = office.beside(), office.get(path)
    for one in (office, fresh):
        event.listen(one.engine, "before_cursor_execute", gone)
    assert office.get(path).json == before.json
    with pytest.raises(OperationalError):
        fresh.get(path)
    for one in (office, fresh):
        event.remove(one.engine, "before_cursor_execute", gone)
    fresh.engine.dispose()
