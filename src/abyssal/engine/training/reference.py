"""The greedy answers of `transformers`, against which every engine that loads the file is measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from abyssal.engine.training.tokenizer import BOS_ID, EOS_ID

TOKENS = 48
# A runtime that rounds activations to half precision moves logits by some thousandths, another processor by
# a little more. Where the two best tokens lie about as close as that, either may win, and a case tests luck.
LEAST_MARGIN = 0.1

_CHATS = (
    "Say hello", "Hello! Who are you?", "What is Abyssal?", "What can you do?", "Tell me a story",
    "What is SSE?", "How do I call Abyssal from Python?", "List the days of the week", "Count from 1 to 30",
    "List the months", "Write a Python function that reverses a string", "What is a gateway?",
    "Explain quantum physics", "Answer in json: what is 3 + 4?", "Write a poem",
    "What is a mixture of experts?",
    "你好", "你是谁？", "什么是 Abyssal？", "讲个故事", "什么是网关？", "你能做什么？", "一周有几天？",
    "什么是词元？", "写一首诗",
)  # fmt: skip
_TEXTS = (
    "Once upon a time,", "Abyssal is a DeepSeek API platform", "A token is a piece of text,",
    "A gateway stands between", "从前，", "词元是一小段文本，", "语言模型读入文本，",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A prompt and its greedy continuation: at most `TOKENS` tokens; the last one may be the end.

    `least_margin` is the smallest distance, in logits, of the chosen token to the next best, over all steps.
    """

    prompt: str
    prompt_tokens: list[int]
    tokens: list[int]
    text: str
    least_margin: float


def reference_cases(
    model: DeepseekV3ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> tuple[list[Case], list[Case]]:
    """Cases with a margin of at least `LEAST_MARGIN` at each step, and those left out for a smaller one."""
    prompts = [_chat(tokenizer, text) for text in _CHATS] + [tokenizer.bos_token + text for text in _TEXTS]
    cases = [greedy(model, tokenizer, prompt) for prompt in prompts]
    clear = [case for case in cases if case.least_margin >= LEAST_MARGIN]
    return clear, [case for case in cases if case.least_margin < LEAST_MARGIN]


def greedy(
    model: DeepseekV3ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str, tokens: int = TOKENS
) -> Case:
    """Continue `prompt` (with its special tokens) by the most likely token, to the end or `tokens` of them.

    Each step runs the whole text anew: slow, and free of any cache that could be wrong.
    """
    # Plain loops over experts and plain attention: what the architecture's own code says, nothing faster.
    model.set_experts_implementation("eager")
    model.set_attn_implementation("eager")
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    assert ids[0] == BOS_ID
    start, margin = len(ids), float("inf")
    with torch.no_grad():
        while len(ids) - start < tokens and (len(ids) == start or ids[-1] != EOS_ID):
            best = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            ids.append(int(best.indices[0]))
            margin = min(margin, float(best.values[0] - best.values[1]))
    answer = ids[start:]
    return Case(prompt, ids[:start], answer, tokenizer.decode(answer), round(margin, 4))


def _chat(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    messages = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
