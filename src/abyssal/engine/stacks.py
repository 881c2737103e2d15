"""Room on the stack for llama.cpp's recursion: a long prompt must not end the engine.

llama.cpp splits text with std::regex, which recurses once for each character of a run of letters, of spaces
or of punctuation (358 bytes each), and walks templates, schemas and grammars recursively. With the usual
8 MiB a run of 23,600 characters is a segmentation fault.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

STACK_BYTES = 64 * 1024 * 1024
"""Of address space; memory is taken only as deep as a thread recurses. A run of 187,000 characters fits."""

_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
_STRICT = "2"  # proc_sys_vm(5): address space counts as memory
_ATTRIBUTE_BYTES = 256  # more than any glibc's pthread_attr_t (56 or 64)


def enlarge_stacks() -> bool:
    """Give threads that start from now on `STACK_BYTES`. False where that cannot be done: only glibc can
    (`pthread_setattr_default_np(3)`), and where address space is limited or counted, that many stacks
    would not fit."""
    if sys.platform != "linux" or _address_space_is_short():
        return False
    libc = ctypes.CDLL(None)
    attribute = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    try:
        return (
            libc.pthread_attr_init(attribute) == 0
            and libc.pthread_attr_setstacksize(attribute, ctypes.c_size_t(STACK_BYTES)) == 0
            and libc.pthread_setattr_default_np(attribute) == 0
        )
    except AttributeError:  # musl has no such function
        return False


def _address_space_is_short() -> bool:
    import resource  # not there on Windows

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    try:
        return _OVERCOMMIT.read_text().strip() == _STRICT
    except OSError:
        return True
