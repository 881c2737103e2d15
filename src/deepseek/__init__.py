"""The SDK under the service's name: `from deepseek import DeepSeekClient`. Every name is that of `abyssal`.

Nothing is loaded before it is used.
"""

from __future__ import annotations

import abyssal
from abyssal import __all__ as __all__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abyssal import *  # noqa: F403 - for type checkers; a program gets each name from `__getattr__`


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'deepseek' has no attribute {name!r}")
    value = getattr(abyssal, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
