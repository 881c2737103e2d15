"""Heavy libraries are loaded by the first request that needs one, so that a worker's idle memory stays small."""

from __future__ import annotations

import subprocess
import sys

IDLE = """
import sys
from abyssal.gateway.auth import access_token, jwt, message_signature, nonce_file, nonce_memory, nonce_redis
from abyssal.gateway.auth import self_issued, signed_request
from abyssal.gateway.auth.directory import Directory

directory = Directory()
jwt.JsonWebTokens(directory, issuer="https://abyssal.test")
signed_request.SignedRequests(directory)
message_signature.MessageSignatures(directory)
nonce_memory.MemoryNonces(None, capacity=1)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"cryptography", "joserfc", "nacl", "redis"}))
"""


def test_nothing_heavy_is_loaded_by_a_worker_at_rest() -> None:
    done = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("[]\n", "")
