"""From a `transformers` model to one GGUF file that llama.cpp loads as architecture `deepseek2`.

What llama.cpp needs that the original names do not show:

1. Latent attention is run in its absorbed form, one key-value head of the latent's width: `head_count_kv`
   is 1, `key_length` = kv rank + rotary dims, `value_length` = kv rank; the true widths stand in
   `key_length_mla` and `value_length_mla`.
2. `kv_b_proj` is cut per head into `attn_k_b` (transposed) and `attn_v_b`.
3. `exp_probs_b.bias` carries the router's correction bias; the gate is sigmoid.
4. The tokenizer is a `gpt2` one; how it cuts text is told by name.
"""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import ExpertGatingFuncType, TokenType
from tokenizers import Tokenizer
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from abyssal.engine.training.tokenizer import (
    BOS_ID,
    CONTROL,
    EOS_ID,
    MARKUP,
    PAD_ID,
    PRE_TOKENIZER,
    chat_template,
)


def round_weights(model: DeepseekV3ForCausalLM) -> None:
    """Round in place to what the file keeps: F16 matrices, but F32 norms, routers and biases.

    After this the model that `transformers` runs and the one in the file have the same numbers.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if _is_half(name, weight):
                weight.copy_(weight.half().float())


def write_gguf(
    path: Path, model: DeepseekV3ForCausalLM, tokenizer: Tokenizer, *, name: str, recipe: str
) -> None:
    """Write `model` with `tokenizer` and the chat template to `path`.

    Raises ValueError for a model that `round_weights` was not called on: the file would not be that model.
    """
    writer = gguf.GGUFWriter(path, "deepseek2")
    _add_shape(writer, model.config, name, recipe)
    _add_tokenizer(writer, tokenizer)
    _add_tensors(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _is_half(name: str, weight: torch.Tensor) -> bool:
    return weight.dim() >= 2 and not name.endswith("mlp.gate.weight")


def _add_shape(writer: gguf.GGUFWriter, config: DeepseekV3Config, name: str, recipe: str) -> None:
    rotary = config.qk_rope_head_dim
    writer.add_name(name)
    writer.add_version(recipe)
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(1)
    writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    writer.add_key_length(config.kv_lora_rank + rotary)
    writer.add_value_length(config.kv_lora_rank)
    writer.add_key_length_mla(config.qk_nope_head_dim + rotary)
    writer.add_value_length_mla(config.v_head_dim)
    writer.add_rope_dimension_count(rotary)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob)
    writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    ids = {index: token for token, index in tokenizer.get_vocab().items()}
    tokens = [ids[index] for index in range(len(ids))]
    kinds = [_kind(token) for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(EOS_ID)
    writer.add_pad_token_id(PAD_ID)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(chat_template())


def _kind(token: str) -> int:
    if token in CONTROL:
        return TokenType.CONTROL
    return TokenType.USER_DEFINED if token in MARKUP else TokenType.NORMAL


def _add_tensors(writer: gguf.GGUFWriter, model: DeepseekV3ForCausalLM) -> None:
    weights = model.state_dict()
    config = model.config

    def add(target: str, source: str | torch.Tensor, *, single: bool = False) -> None:
        tensor = weights.pop(source) if isinstance(source, str) else source
        if tensor.dim() < 2 or single:
            writer.add_tensor(target, tensor.contiguous().numpy())
            return
        if not torch.equal(tensor, tensor.half().float()):
            raise ValueError(f"{target} holds more than F16 can: call round_weights before write_gguf")
        writer.add_tensor(target, tensor.contiguous().numpy().astype(np.float16))

    add("token_embd.weight", "model.embed_tokens.weight")
    add("output_norm.weight", "model.norm.weight")
    add("output.weight", "lm_head.weight")
    for layer in range(config.num_hidden_layers):
        old, new = f"model.layers.{layer}.", f"blk.{layer}."
        add(new + "attn_norm.weight", old + "input_layernorm.weight")
        add(new + "ffn_norm.weight", old + "post_attention_layernorm.weight")
        add(new + "attn_q_a.weight", old + "self_attn.q_a_proj.weight")
        add(new + "attn_q_a_norm.weight", old + "self_attn.q_a_layernorm.weight")
        add(new + "attn_q_b.weight", old + "self_attn.q_b_proj.weight")
        add(new + "attn_kv_a_mqa.weight", old + "self_attn.kv_a_proj_with_mqa.weight")
        add(new + "attn_kv_a_norm.weight", old + "self_attn.kv_a_layernorm.weight")
        add(new + "attn_output.weight", old + "self_attn.o_proj.weight")
        nope, value = config.qk_nope_head_dim, config.v_head_dim
        kv_b = weights.pop(old + "self_attn.kv_b_proj.weight")
        per_head = kv_b.view(config.num_attention_heads, nope + value, config.kv_lora_rank)
        add(new + "attn_k_b.weight", per_head[:, :nope].transpose(1, 2))  # [heads, rank, nope]
        add(new + "attn_v_b.weight", per_head[:, nope:])  # [heads, v, rank]
        if layer < config.first_k_dense_replace:
            for part in ("gate", "up", "down"):
                add(f"{new}ffn_{part}.weight", f"{old}mlp.{part}_proj.weight")
            continue
        add(new + "ffn_gate_inp.weight", old + "mlp.gate.weight", single=True)
        add(new + "exp_probs_b.bias", old + "mlp.gate.e_score_correction_bias")
        gate, up = weights.pop(old + "mlp.experts.gate_up_proj").chunk(
            2, dim=1
        )  # each [experts, inner, hidden]
        add(new + "ffn_gate_exps.weight", gate)
        add(new + "ffn_up_exps.weight", up)
        add(new + "ffn_down_exps.weight", old + "mlp.experts.down_proj")
        for part in ("gate", "up", "down"):
            add(f"{new}ffn_{part}_shexp.weight", f"{old}mlp.shared_experts.{part}_proj.weight")
    if weights:
        raise ValueError(f"no place in the file for {sorted(weights)}: teach _add_tensors where they go")
