"""The OAuth 2.0 endpoints, and the two documents that describe them."""

from __future__ import annotations

from collections.abc import Iterator

from abyssal.contract.answers import AboutTokenForm, KeySet, OAuthErrorBody, ServerMetadata, TokenForm
from abyssal.contract.operation import FORM, JSON, Answer, Body, Operation
from abyssal.platform.oauth import metadata
from abyssal.platform.oauth.server import Introspection, TokenAnswer

_PROVED = (
    "The client proves itself by HTTP Basic, or by the fields `client_id` and `client_secret`; never by both."
)


def _client_operation(
    name: str, path: str, summary: str, says: str, form: type, answer: Answer, fields: tuple[str, ...]
) -> Operation:
    data = " ".join(f'-d "{field}"' for field in fields)
    pairs = ", ".join(
        '"{}": {}'.format(left, right[1:].lower() if right.startswith("$") else f'"{right}"')
        for left, _, right in (field.partition("=") for field in fields)
    )
    return Operation(
        id=name,
        method="POST",
        path=path,
        tag="OAuth",
        summary=summary,
        says=f"{says} {_PROVED}",
        bodies=(Body(FORM, form),),
        answers=(answer,),
        errors=(401, 413, 429),
        error=OAuthErrorBody,
        curl=f'curl -sS "$BASE{path}" -u "$CLIENT_ID:$CLIENT_SECRET" {data}',
        python=f'urlopen(base + "{path}", urlencode({{"client_id": client_id, '
        f'"client_secret": client_secret, {pairs}}}).encode()).read()',
    )


def _oauth() -> Iterator[Operation]:
    yield _client_operation(
        "createToken",
        metadata.TOKEN,
        "Get an access token",
        "Client credentials (RFC 6749 §4.4); `scope` narrows what the token may do.",
        TokenForm,
        Answer("The token, a JWT (RFC 9068).", (Body(JSON, TokenAnswer),)),
        ("grant_type=client_credentials",),
    )
    yield _client_operation(
        "revokeToken",
        metadata.REVOKE,
        "Revoke an access token",
        "It is worth nothing any more when this is answered (RFC 7009).",
        AboutTokenForm,
        Answer("It is revoked, or was no token."),
        ("token=$TOKEN",),
    )
    yield _client_operation(
        "introspectToken",
        metadata.INTROSPECT,
        "Ask what an access token is worth",
        "For tokens of the client's own organisation (RFC 7662).",
        AboutTokenForm,
        Answer("What it is worth now.", (Body(JSON, Introspection),)),
        ("token=$TOKEN",),
    )
    yield Operation(
        id="showAuthorizationServer",
        method="GET",
        path=metadata.METADATA,
        tag="OAuth",
        summary="What the authorization server offers",
        says="RFC 8414.",
        answers=(Answer("The document.", (Body(JSON, ServerMetadata),)),),
    )
    yield Operation(
        id="listTokenKeys",
        method="GET",
        path=metadata.KEY_SET,
        tag="OAuth",
        summary="The keys that access tokens are signed with",
        says="RFC 7517. A new key is here a day before it signs.",
        answers=(Answer("The key set.", (Body(JSON, KeySet),)),),
    )


OAUTH: tuple[Operation, ...] = tuple(_oauth())
