"""Organisations, projects, members and the other credentials, on a data directory and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from abyssal import DeepSeekClient, PermissionDeniedError
from abyssal.testing import Answer, RunningServer, ScriptedUpstream, gateway_config

from .cli_here import abyssal_here
from .cli_process import Terminal

MODELS = ("deepseek-chat", "deepseek-flash")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(gateway_config(upstream, MODELS), tmp_path_factory.mktemp("identity")) as server:
        yield server


@pytest.fixture(params=["data directory", "HTTP"])
def settings(request: pytest.FixtureRequest, server: RunningServer) -> dict[str, str]:
    """The environment of an operator, on the machine or elsewhere."""
    if request.param == "HTTP":
        return {
            "ABYSSAL_BASE_URL": server.base_url,
            "ABYSSAL_API_KEY": server.api_key,
            "ABYSSAL_DATA": "/nowhere",
        }
    return {"ABYSSAL_DATA": str(server.data)}


def run(settings: dict[str, str], *arguments: str) -> str:
    done = abyssal_here(*arguments, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def decoded(settings: dict[str, str], *arguments: str) -> Any:
    return json.loads(run(settings, *arguments, "--json"))


def refused(settings: dict[str, str], code: int, *arguments: str) -> str:
    """The sentence with which a command ends."""
    done = abyssal_here(*arguments, **settings)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_tenant_from_its_making_to_its_end(
    settings: dict[str, str], request: pytest.FixtureRequest
) -> None:
    name = f"Acme {request.node.callspec.id}"
    org = run(settings, "orgs", "create", name, "--scope", "chat", "--scope", "usage:read").strip()
    assert decoded(settings, "orgs", "show", name)["id"] == org
    assert "has no project" in refused(settings, 2, "keys", "create", "x", "--org", name)

    project = run(settings, "projects", "create", "web", "--org", name, "--model", "deepseek-chat").strip()
    assert [one["id"] for one in decoded(settings, "projects", "list", "--org", org)] == [project]
    key = decoded(settings, "keys", "create", "x", "--org", name)
    assert (key["project"], key["organization"]) == (project, org)
    assert key["scopes"] == ["chat", "usage:read"]
    assert "--scope" in refused(settings, 2, "keys", "create", "y", "--org", name, "--scope", "files")
    assert "--model" in refused(settings, 2, "keys", "create", "y", "--project", "web", "--org", org,
                                "--model", "deepseek-flash")  # fmt: skip

    assert [one["id"] for one in decoded(settings, "keys", "list", "--org", name)] == [key["id"]]
    assert key["id"] in [one["id"] for one in decoded(settings, "keys", "list")]
    assert run(settings, "orgs", "revoke", name) == f"{org} ({name}) is archived now\n"
    assert "was archived before" in run(settings, "orgs", "archive", org)
    assert "is archived" in refused(settings, 1, "projects", "create", "late", "--org", org)


def test_a_limit_that_is_changed_is_in_force_at_once(
    server: RunningServer, upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    key = run(settings, "keys", "create", "limited", "--model", "deepseek-chat").strip()
    question = [{"role": "user", "content": "?"}]
    key_id = next(k["id"] for k in decoded(settings, "keys", "list") if k["hint"] == key[-4:])
    # A change over HTTP is answered when it is in force; one on the data directory, within a second.
    run(
        {"ABYSSAL_BASE_URL": server.base_url, "ABYSSAL_API_KEY": server.api_key},
        "keys",
        "edit",
        key_id,
        "--name",
        "l",
    )
    with DeepSeekClient(key, base_url=server.base_url) as client:
        upstream.enqueue(Answer.chat("yes"))
        assert client.chat.completions.create(model="deepseek-chat", messages=question)
        with pytest.raises(PermissionDeniedError):
            client.chat.completions.create(model="deepseek-flash", messages=question)
    changed = decoded(
        settings, "keys", "edit", key_id, "--name", "wider", "--model", "any", "--expires", "1h"
    )
    assert (changed["name"], changed["models"]) == ("wider", None)
    assert changed["expires_at"] is not None
    assert decoded(settings, "keys", "edit", key_id, "--expires", "never")["expires_at"] is None


def test_members_come_change_and_go(settings: dict[str, str], request: pytest.FixtureRequest) -> None:
    where = request.node.callspec.id.replace(" ", "-").lower()
    email = f"Ada-{where}@example.com"
    user = run(settings, "members", "create", email, "--name", "Ada").strip()
    assert decoded(settings, "members", "show", email)["role"] == "member"
    assert "is viewer now" in run(settings, "members", "role", email, "viewer")
    assert "'chief'" in refused(settings, 2, "members", "role", email, "chief")
    assert "change the role" in refused(settings, 1, "members", "create", email)
    assert "near ones" in refused(settings, 2, "members", "show", email.replace("Ada", "Aad"))
    own = decoded(settings, "clients", "create", f"hers {where}", "--user", email)
    assert own["user"] == user
    run(settings, "members", "revoke", email)
    assert decoded(settings, "clients", "show", own["id"])["revoked_at"] is not None
    assert user not in run(settings, "members", "list")


def test_clients_and_signing_keys_are_made_and_rotated(settings: dict[str, str]) -> None:
    for kind, prefix, secret in (("clients", "client_", "cs_"), ("signing-keys", "sig_", "ss_")):
        made = decoded(settings, kind, "create", "billing")
        assert made["id"].startswith(prefix)
        assert made["secret"].startswith(secret)
        second = decoded(settings, kind, "rotate", made["id"], "--overlap", "1h")
        assert len(second["secrets"]) == 2
        assert run(settings, kind, "rotate", made["id"], "--overlap", "0").strip().startswith(secret)
        assert len(decoded(settings, kind, "show", made["id"])["secrets"]) == 1
        assert "is revoked now" in run(settings, kind, "revoke", made["id"])
        assert made["id"] in refused(settings, 1, kind, "rotate", made["id"])


def test_public_keys_are_registered_under_an_id(settings: dict[str, str], tmp_path: Path) -> None:
    private, public = tmp_path / "edge.pem", tmp_path / "edge.pub.pem"
    pair = Ed25519PrivateKey.generate()
    private.write_bytes(pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    made = run(settings, "public-keys", "create", "edge", "--public-key", str(public)).strip()
    assert made.startswith("pub_")
    assert "was not sent" in refused(settings, 2, "public-keys", "create", "e", "--public-key", str(private))
    public.write_bytes(
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    run(settings, "public-keys", "rotate", made, "--public-key", str(public))
    assert len(decoded(settings, "public-keys", "show", made)["secrets"]) == 2
    public.write_text("nonsense")
    assert "--public-key" in refused(settings, 2, "public-keys", "rotate", made, "--public-key", str(public))
    run(settings, "public-keys", "revoke", made)


def test_what_is_wrong_is_one_sentence_with_what_to_do(settings: dict[str, str]) -> None:
    known = decoded(settings, "keys", "list")[0]
    typo = known["id"][:-1] + ("0" if known["id"][-1] != "0" else "1")
    assert known["id"] in refused(settings, 2, "keys", "revoke", typo)
    scopes = refused(settings, 2, "keys", "create", "x", "--scope", "chatt")
    assert "'chatt'" in scopes
    assert "models:train" in scopes
    assert "30d" in refused(settings, 2, "keys", "create", "x", "--expires", "soon")
    assert "--network" in refused(settings, 2, "keys", "create", "x", "--network", "10.0.0.0/33")
    assert "nothing to change" in refused(settings, 2, "keys", "edit", known["id"])
    assert "abyssal projects list" in refused(settings, 2, "keys", "list", "--project", "xyzzy")


def test_a_key_without_the_scope_admin_manages_nothing(server: RunningServer) -> None:
    local = {"ABYSSAL_DATA": str(server.data)}
    remote = {"ABYSSAL_BASE_URL": server.base_url, "ABYSSAL_API_KEY": server.api_key}
    plain = run(remote, "keys", "create", "plain").strip()
    as_plain = remote | {"ABYSSAL_API_KEY": plain}
    before = run(local, "keys", "list")
    for command in (("list",), ("create", "x"), ("revoke", "plain")):
        assert '"admin"' in refused(as_plain, 1, "keys", *command)
    refused(remote | {"ABYSSAL_API_KEY": "sk-wrong"}, 1, "keys", "list")
    assert run(local, "keys", "list") == before
    # --api-key alone: the platform that runs here, as that key.
    assert '"admin"' in refused(local, 1, "keys", "list", "--api-key", plain)
    assert '"admin"' in refused(remote, 1, "keys", "list", "--api-key", plain)


def test_a_list_longer_than_a_page_is_whole(server: RunningServer, settings: dict[str, str]) -> None:
    if "ABYSSAL_BASE_URL" in settings:
        remote = settings
    else:
        remote = {"ABYSSAL_BASE_URL": server.base_url, "ABYSSAL_API_KEY": server.api_key}
    with DeepSeekClient(remote["ABYSSAL_API_KEY"], base_url=remote["ABYSSAL_BASE_URL"]) as client:
        while len(run(settings, "signing-keys", "list").splitlines()) <= 201:
            for number in range(101):
                client.request("POST", "/platform/signing-keys", json={"name": f"n{number}"})
    ids = [line.partition("\t")[0] for line in run(settings, "signing-keys", "list").splitlines()]
    assert len({*ids}) == len(ids) > 201


def test_on_a_terminal_the_project_shows_when_there_is_more_than_one(server: RunningServer) -> None:
    settings = {"ABYSSAL_DATA": str(server.data)}
    run(settings, "projects", "create", "second")
    run(settings, "clients", "create", "in the second", "--project", "second")
    run(settings, "clients", "create", "in the first", "--project", "default", "--org", "default")
    with Terminal("clients", "list", **settings) as terminal:
        assert terminal.wait_end() == 0
    heads, *rows = terminal.plain.splitlines()
    assert "project" in heads
    assert any("in the second" in row and row.rstrip().endswith("second") for row in rows)


def test_an_empty_list_says_how_to_begin(tmp_path: Path, server: RunningServer) -> None:
    org = run({"ABYSSAL_DATA": str(server.data)}, "orgs", "create", "Empty").strip()
    with Terminal("members", "list", "--org", org, ABYSSAL_DATA=str(server.data)) as terminal:
        assert terminal.wait_end() == 0
    assert "abyssal members create" in terminal.plain


def test_a_platform_that_does_not_run_is_managed_all_the_same(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = {"ABYSSAL_DATA": str(tmp_path / "data")}
    config = gateway_config(upstream, MODELS)
    with RunningServer(config, tmp_path / "data"):
        pass
    key = run(settings, "keys", "create", "made at rest").strip()
    with (
        RunningServer(config, tmp_path / "data") as server,
        DeepSeekClient(key, base_url=server.base_url) as client,
    ):
        assert client.models.list()


def test_the_configuration_says_where_the_database_is(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    data, database = tmp_path / "data", tmp_path / "elsewhere.db"
    config = gateway_config(upstream, MODELS) + f'\n[stores]\ndatabase_url = "sqlite:///{database}"\n'
    with RunningServer(config, data) as server:
        assert "--config" in refused({}, 2, "keys", "list", "--data", str(data))
        file = str(data / "test-config.toml")
        assert "first" in run({}, "keys", "list", "--data", str(data), "--config", file)
        variable = {"ABYSSAL_DATABASE_URL": f"sqlite:///{database}"}
        assert "first" in run(variable, "keys", "list", "--data", str(data))
        assert server.data == data
