"""The recipe end to end at a toy size: what it writes, llama.cpp continues as `transformers` does."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
import torch
import xllamacpp

from abyssal.engine.training.corpus import documents
from abyssal.engine.training.export import round_weights, write_gguf
from abyssal.engine.training.model import new_model, tiny_config
from abyssal.engine.training.recipe import make_model, make_tokenizer
from abyssal.engine.training.reference import greedy
from abyssal.engine.training.tokenizer import for_transformers
from abyssal.engine.training.train import Plan, Progress, train, weighted_loss
from abyssal.engine.training.windows import windows

VOCABULARY = 1600
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 3,
}
OTHER_SHAPES = [
    {},
    {"first_k_dense_replace": 2},
    {"n_shared_experts": 2},
    {"qk_nope_head_dim": 16, "v_head_dim": 24},
]


@pytest.fixture(scope="module")
def tokenizer():
    torch.set_num_threads(1)
    return make_tokenizer(VOCABULARY)


def continue_in_llama(path: Path, prompt: list[int], tokens: int) -> list[int]:
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel = str(path), 512, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port, params.warmup, params.verbosity = ["127.0.0.1"], 0, False, 0
    server = xllamacpp.Server(params)
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "return_tokens": True}
    request = urllib.request.Request(f"{server.listening_address}/completion", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())["tokens"]


@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_a_random_model_says_the_same_in_both(tmp_path: Path, tokenizer, shape: dict[str, int]) -> None:
    """A random model is unsure of everything, of its experts too, so one prompt in four may differ: where two
    choices tie, rounding decides. A tensor in the wrong place or order makes all of them differ."""
    model = new_model(5, tiny_config(**(SMALL | shape)))
    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.e_score_correction_bias.uniform_(-0.3, 0.3)
    round_weights(model)
    write_gguf(tmp_path / "m.gguf", model, tokenizer, name="random", recipe="test")
    reader = for_transformers(tokenizer)
    equal = 0
    for prompt in (
        "Hello there",
        "你好，世界",
        "Count to 9",
        "What is",
        "一二三",
        "def f(a):",
        "The sea",
        "Good night",
    ):
        case = greedy(model, reader, f"{reader.bos_token}{prompt}", tokens=6)
        equal += continue_in_llama(tmp_path / "m.gguf", case.prompt_tokens, 6) == case.tokens
    assert equal >= 6


def test_every_weight_and_bias_reaches_the_file(tmp_path: Path, tokenizer) -> None:
    """Another correction bias, another answer: the file carries it, and the engine uses it."""
    model = new_model(5, tiny_config(**SMALL, initializer_range=0.2))
    round_weights(model)
    prompt = tokenizer.encode("Hello there", add_special_tokens=False).ids
    heard = []
    for push in (0.0, 5.0):
        for layer in model.model.layers[1:]:
            layer.mlp.gate.e_score_correction_bias[:4] += push
        write_gguf(tmp_path / "m.gguf", model, tokenizer, name="random", recipe="test")
        heard.append(continue_in_llama(tmp_path / "m.gguf", [0, *prompt], 12))
    assert heard[0] != heard[1]


def test_a_model_that_the_file_cannot_hold_is_refused(tmp_path: Path, tokenizer) -> None:
    with pytest.raises(ValueError, match="round_weights"):
        write_gguf(
            tmp_path / "m.gguf", new_model(5, tiny_config(**SMALL)), tokenizer, name="x", recipe="test"
        )


def test_training_lowers_the_loss_and_fast_experts_are_the_plain_ones(tokenizer) -> None:
    model = new_model(1, tiny_config(**SMALL))
    plan = Plan(steps=30, rows=2, length=256, warm_up=5)
    batches = windows(for_transformers(tokenizer), documents(2), plan.rows, plan.length)
    batch = next(batches)
    before = weighted_loss(model, batch, batch.weights).item()
    seen: list[Progress] = []
    train(model, batches, plan, seen.append, every=10)
    assert [progress.step for progress in seen] == [10, 20, 30]
    fast = weighted_loss(model, batch, batch.weights).item()
    assert fast < before - 1
    model.set_experts_implementation("eager")
    assert weighted_loss(model, batch, batch.weights).item() == pytest.approx(fast, abs=1e-4)


def test_idle_experts_are_pushed_up_and_busy_ones_down(tokenizer) -> None:
    model = new_model(1, tiny_config(**SMALL))
    router = model.model.layers[1].mlp.gate
    plan = Plan(steps=4, rows=2, length=256, bias_step=0.01, fall_from=1.0)
    train(model, windows(for_transformers(tokenizer), documents(2), 2, 256), plan, lambda _: None)
    biases = router.e_score_correction_bias
    assert float(biases.max()) == pytest.approx(0.03)
    assert float(biases.min()) < 0


def test_the_recipe_writes_a_model_and_its_card(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    plan = Plan(steps=3, rows=1, length=256)
    card = make_model(tmp_path, plan, lambda _: None, tiny_config(**SMALL))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["abyssal-tiny.gguf", "abyssal-tiny.json"]
    assert card.fingerprint == f"abyssal-tiny-{card.sha256[:8]}"
    case = (card.cases + card.left_out)[0]
    assert continue_in_llama(tmp_path / card.file, list(case.prompt_tokens), 4)
