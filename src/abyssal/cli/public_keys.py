"""`abyssal public-keys`: the public halves of ed25519 keys that requests are signed with (RFC 9421)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abyssal.cli.credential_commands import add_list_show_edit_revoke, command_group
from abyssal.cli.credentials import Wanted, create_credential, rotate_credential
from abyssal.cli.finding import Noun
from abyssal.cli.limits import Limits
from abyssal.cli.management import Reach
from abyssal.cli.management_options import (
    ConfigOption,
    CredentialName,
    ExpiresOption,
    ModelNameOption,
    NetworkOption,
    OrgOption,
    OverlapOption,
    PlatformOption,
    ProjectOption,
    ScopeOption,
    UserOption,
    Which,
)
from abyssal.cli.options import ApiKeyOption, DataOption, JsonOption
from abyssal.wire.errors import ConfigurationError

PUBLIC_KEY = Noun("public key", "public keys", "public-keys", "/public-keys", ended="revoked_at")
_LONGEST = 4096  # bytes; a PEM file of an ed25519 key has 113

PublicKeyOption = Annotated[
    Path,
    typer.Option("--public-key", metavar="FILE", help="An ed25519 public key: PEM, or base64 of 32 bytes."),
]

public_keys = command_group("Register, list, change, rotate and revoke public keys (ed25519).")


@public_keys.command()
def create(
    name: CredentialName,
    public_key: PublicKeyOption,
    scope: ScopeOption = None,
    model: ModelNameOption = None,
    network: NetworkOption = None,
    expires: ExpiresOption = None,
    user: UserOption = None,
    project: ProjectOption = None,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a public key and show the id that signatures name it by."""
    limits = Limits(scope, model, network)
    wanted = Wanted(name, limits, expires, user, project, org, _public_half(public_key))
    create_credential(PUBLIC_KEY, Reach(data, config, base_url, api_key), wanted, as_json=as_json)


@public_keys.command()
def rotate(
    which: Which,
    public_key: PublicKeyOption,
    overlap: OverlapOption = "24h",
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put another public key beside the old one, under the same id."""
    reach = Reach(data, config, base_url, api_key)
    half = _public_half(public_key)
    rotate_credential(PUBLIC_KEY, reach, which, overlap, public_key=half, as_json=as_json)


add_list_show_edit_revoke(public_keys, PUBLIC_KEY)


def _public_half(file: Path) -> str:
    """The text of `file`. Raises ConfigurationError for a private key: that one stays where it is."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LONGEST + 1).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"--public-key: {file} is no text; make it PEM: openssl pkey -pubin -inform DER -in {file}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"--public-key: {file} cannot be read ({error.strerror})") from None
    if "PRIVATE KEY" in text:
        raise ConfigurationError(
            f"--public-key: {file} holds a private key, which was not sent; its public half is what is "
            f"needed: openssl pkey -in {file} -pubout"
        )
    if len(text) > _LONGEST:
        raise ConfigurationError(f"--public-key: {file} is longer than any public key; name another file")
    return text.strip()
