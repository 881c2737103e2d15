"""The byte-level BPE of abyssal-tiny: how text is cut, which tokens are special, how it is trained.

llama.cpp cuts text by the name of a pre-tokenizer, not by what a file says, so the pieces here must be
those of its `deepseek-v3`: digits in groups of up to three, runs of Chinese and Japanese letters, then
words with their leading space. Two things are learned differently from how they are cut later, which a
BPE allows because it only ever applies the merges it knows:

1. Digits stand alone, so no merge of digits exists: a small model counts better in single digits.
2. Chinese comes in pairs of letters, so that no token is a whole phrase of a template; and each letter
   of the text has a token of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2560
PRE_TOKENIZER = "deepseek-v3"

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
PAD = "<｜▁pad▁｜>"
USER = "<｜User｜>"
ASSISTANT = "<｜Assistant｜>"
CONTROL = (BOS, EOS, PAD, USER, ASSISTANT)
# Markup that is visible text to a parser of tool calls, though each is one token.
MARKUP = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")
BOS_ID, EOS_ID, PAD_ID, USER_ID, ASSISTANT_ID = range(len(CONTROL))

# The three expressions of llama.cpp's `deepseek-v3`, applied one after the other.
_PIECES = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train on `texts` (without special tokens). Raises ValueError if they hold too few merges."""
    tokenizer = Tokenizer(models.BPE())
    cuts = [pre_tokenizers.Split(Regex(piece), "isolated") for piece in _PIECES]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pairs = pre_tokenizers.Split(Regex(r"[一-龥]{1,2}"), "isolated")
    learning = [pre_tokenizers.Digits(individual_digits=True), pairs, *cuts[1:], byte_level]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(learning)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in CONTROL + MARKUP],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    lines = list(texts)
    letters = sorted({letter for line in lines for letter in line if not letter.isascii()})
    # Often enough that their merges come before those of rare words.
    lines += letters * 300
    tokenizer.train_from_iterator(lines, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(
            f"the text gives {tokenizer.get_vocab_size()} tokens, not {vocabulary}: "
            "train on more text, or lower the vocabulary"
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, byte_level])
    return tokenizer


def chat_template() -> str:
    """The Jinja template that is written into the GGUF and used for the training text alike."""
    return (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").strip()


def for_transformers(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The same tokenizer with the chat template, as `transformers` uses it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=chat_template(),
    )
