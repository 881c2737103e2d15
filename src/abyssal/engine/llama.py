"""llama.cpp's server inside this process: what it is told, and what its refusals mean.

This is the one module that imports xllamacpp, and does so only when it is asked to serve.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from abyssal.engine.address import EngineError
from abyssal.engine.embedding import EmbeddingLimits, embedding_limits
from abyssal.engine.spec import EngineExit, EngineSpec
from abyssal.engine.stacks import enlarge_stacks
from abyssal.engine.threads import choose_threads, usable_cores

_MAGIC = b"GGUF"  # gguf.md, "File structure"
_PROMPT_CACHE_MIB = 256
_WRITE_TIMEOUT_S = 120


def check_model_file(file: Path) -> int:
    """The file's size in bytes. `EngineError` when it is missing, unreadable, or no GGUF file: known here
    without llama.cpp, and with a better sentence."""
    try:
        with file.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
            size = os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise EngineError(
            EngineExit.NO_MODEL, f"The model file {file} does not exist: check the path."
        ) from None
    except OSError as error:
        raise EngineError(
            EngineExit.NO_MODEL, f"The model file {file} cannot be read: {error.strerror or error}."
        ) from None
    if magic != _MAGIC:
        raise EngineError(
            EngineExit.BAD_MODEL,
            f"The model file {file} is not a GGUF file (it starts with {magic!r}): download it again.",
        )
    return size


class Servers(NamedTuple):
    """xllamacpp's servers, which live as long as they are referred to; no `vectors` without embeddings."""

    chat: Any
    vectors: Any

    @property
    def address(self) -> str:
        """Where chats are answered: "unix://…" or "http://…"."""
        return self.chat.listening_address


def serve(spec: EngineSpec) -> Servers:
    """Load the model and start answering, on threads of llama.cpp's own; returns when it is ready.

    The interpreter is held while the model loads. Raises `EngineError`. A model that can chat and not embed
    is served all the same.
    """
    file = spec.model_file()
    size = check_model_file(file)
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise EngineError(
            EngineExit.NOT_INSTALLED,
            f"The engine needs xllamacpp, which cannot be imported ({error}): pip install 'abyssal[engine]'.",
        ) from None
    enlarge_stacks()
    threads = choose_threads(spec.threads, size, usable_cores())
    limits = embedding_limits(spec)
    with _private_files():
        vectors = None  # first, so that a chat's good health is that of both
        if limits is not None:
            parameters = _parameters(xllamacpp, spec, file, threads)
            _embed(parameters, xllamacpp, spec, limits)
            with suppress(RuntimeError, MemoryError):  # it wrote its reason to standard error
                vectors = xllamacpp.Server(parameters)
        try:
            return Servers(xllamacpp.Server(_parameters(xllamacpp, spec, file, threads)), vectors)
        except RuntimeError:
            # As above; the exception itself says nothing.
            raise EngineError(EngineExit.BAD_MODEL, f"llama.cpp cannot load {file}.") from None
        except MemoryError:
            raise EngineError(
                EngineExit.NO_MEMORY, f"There is not enough memory to load {file}: lower context or slots."
            ) from None


def _embed(parameters: Any, xllamacpp: Any, spec: EngineSpec, limits: EmbeddingLimits) -> None:
    """Make `parameters` those of a server for vectors; see `engine.embedding` for the reasons."""
    parameters.hostnames = [spec.embedding_socket]
    parameters.embedding = True
    if not limits.own_pooling:
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.n_parallel = 1
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = limits.tokens
    parameters.cache_ram_mib = 0
    parameters.no_extra_bufts = True  # weights that were arranged anew would be there twice
    parameters.warmup = False


def _parameters(xllamacpp: Any, spec: EngineSpec, file: Path, threads: int) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {spec.name}
    if spec.socket:
        parameters.hostnames = [spec.socket]  # a name that ends in .sock is bound as a Unix socket
    else:
        host, parameters.port = spec.host_and_port()
        parameters.hostnames = [host]
    parameters.n_parallel = spec.slots
    parameters.n_ctx = spec.context * spec.slots  # llama.cpp divides it among the slots again
    parameters.kv_unified = False  # a slot's share is its own, so `context` is what a request can count on
    parameters.fit_params = False  # otherwise it may shrink the context to the free memory, silently
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = threads
    parameters.n_threads_http = _http_threads(spec)
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB  # 8 GiB by default, more than the whole of a small machine
    parameters.timeout_write = _WRITE_TIMEOUT_S  # a reader that stops gets its slot taken away
    parameters.verbosity = 1  # errors only
    parameters.offline = True
    # What is reachable is what the platform uses: no page, no slot contents, no cross-origin reading.
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    parameters.cors_origins = ""
    return parameters


def _http_threads(spec: EngineSpec) -> int:
    """Threads that wait for requests; an idle one costs some 15 KiB.

    llama.cpp's HTTP server holds one for each connection until its answer is written, also for a call that
    waits for a slot and for one whose caller left unnoticed. Beyond this number it adds threads too seldom
    when calls come in a burst, and then even GET /health waits behind them for minutes.
    """
    return 2 * (spec.slots + spec.queue) + 64


@contextmanager
def _private_files() -> Generator[None]:
    """What is made meanwhile, such as the socket, is for this user alone (mode 600)."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
