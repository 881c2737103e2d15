"""Exit codes and last lines become one sentence that says what was wrong."""

from __future__ import annotations

import pytest

from abyssal.engine.diagnosis import explain, is_refusal
from abyssal.engine.spec import EngineExit

LOADER = [
    "0.00.003.741 E llama_model_load: error loading model: unknown model architecture: 'nosuch'",
    "0.00.003.752 E llama_model_load_from_file_impl: failed to load model",
    "0.00.003.755 E srv    load_model: failed to load model, 'arch.gguf'",
    "0.00.004.094 E srv          init: exiting due to model loading error",
    "abyssal engine: llama.cpp cannot load arch.gguf.",
]
MEMORY = [
    "0.05.123.078 E ggml_aligned_malloc: insufficient memory (attempted to allocate 24414.38 MB)",
    "0.05.275.421 E llama_init_from_model: failed to initialize the context",
    "abyssal engine: llama.cpp cannot load big.gguf.",
]


@pytest.mark.parametrize(
    ("code", "lines", "sentence"),
    [
        (65, LOADER, "llama.cpp cannot load arch.gguf: unknown model architecture: 'nosuch'."),
        (
            65,
            MEMORY,
            "llama.cpp cannot load big.gguf: insufficient memory (attempted to allocate 24414.38 MB); "
            "lower context or slots.",
        ),
        (66, ["abyssal engine: The model file /x does not exist."], "The model file /x does not exist."),
        (65, ["abyssal engine: Not a GGUF file."], "Not a GGUF file."),
        (
            -6,
            ["GGML_ASSERT(a == b) failed", ""],
            "The engine was ended by SIGABRT after 'GGML_ASSERT(a == b) failed'.",
        ),
        (
            -9,
            [],
            "The engine was ended by SIGKILL (the system kills with SIGKILL when memory runs out).",
        ),
        (-60, [], "The engine was ended by signal 60."),
        (
            1,
            ["Traceback (most recent call last):", "ValueError: x"],
            "The engine ended with code 1 after 'ValueError: x'.",
        ),
        (0, [], "The engine ended with code 0."),
    ],
)
def test_one_sentence(code: int, lines: list[str], sentence: str) -> None:
    assert explain(code, lines) == sentence


def test_a_refusal_is_an_exit_that_says_it_cannot_work_as_things_are() -> None:
    refusals = {code for code in EngineExit if is_refusal(code)}
    assert refusals == {
        EngineExit.USAGE,
        EngineExit.BAD_MODEL,
        EngineExit.NO_MODEL,
        EngineExit.NOT_INSTALLED,
        EngineExit.NO_MEMORY,
    }
    assert not any(is_refusal(code) for code in (-15, -11, -9, -6, 1, 2, 255))
