"""TLS for direct connections: whom to trust, and what it means when a connection cannot be made."""

from __future__ import annotations

import ssl
import sys

from abyssal.client.settings import BaseUrl
from abyssal.wire.errors import ApiConnectionError, ConfigurationError, LocalError


def has_trust_store() -> bool:
    """Whether Python finds the machine's certificate authorities. It does not in every build of it."""
    paths = ssl.get_default_verify_paths()
    return sys.platform == "win32" or bool(paths.cafile or paths.capath)


def tls_context(base: BaseUrl) -> ssl.SSLContext | None:
    """How to speak TLS with `base`; None for http. Trusts what SSL_CERT_FILE or else the machine trusts."""
    if base.scheme != "https":
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def connect_fault(base: BaseUrl, error: OSError) -> LocalError:
    """What it means that connecting to `base` failed with `error`."""
    where = f"{base.host}:{base.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"{where} cannot be trusted: {error.verify_message}. Is base_url right? If the certificate is "
            "your own, name its authority's file in the environment variable SSL_CERT_FILE."
        )
    if isinstance(error, ssl.SSLError):
        return ApiConnectionError(
            f"Cannot speak TLS with {where}: {error.reason or error}. If it serves plain HTTP, use http://.",
            unsent=True,
        )
    reason = error.strerror or error
    return ApiConnectionError(
        f"Cannot connect to {where}: {reason}. Is it running, and is base_url right?", unsent=True
    )
