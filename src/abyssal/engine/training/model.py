"""The shape of abyssal-tiny, and how a model of that shape starts. It knows no data and no training."""

from __future__ import annotations

import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from abyssal.engine.training.tokenizer import BOS_ID, EOS_ID, PAD_ID, VOCABULARY

CONTEXT = 4096


def tiny_config(**changes: object) -> DeepseekV3Config:
    """DeepSeek-V3's architecture at a size that fits a repository; `changes` are for tests.

    What makes it V3 stays: latent attention with a low-rank query, 64 routed experts and a shared one
    behind sigmoid gates with a correction bias, a dense first layer, interleaved rotary dimensions.
    Groups of experts are one group: they spread a layer over machines, and here there is one.
    """
    settings: dict[str, object] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "intermediate_size": 384,
        "moe_intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "n_shared_experts": 1,
        "n_routed_experts": 64,
        "num_experts_per_tok": 4,
        "routed_scaling_factor": 2.5,
        "norm_topk_prob": True,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 64,
        "kv_lora_rank": 64,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16,
        "v_head_dim": 32,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "rope_interleave": True,
        "rms_norm_eps": 1e-6,
        "initializer_range": 0.08,
        "tie_word_embeddings": False,
        "num_nextn_predict_layers": 0,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
    }
    return DeepseekV3Config(**(settings | changes))


def new_model(seed: int, config: DeepseekV3Config | None = None) -> DeepseekV3ForCausalLM:
    """A model with random F32 weights, the same for the same `seed` and machine."""
    torch.manual_seed(seed)
    return DeepseekV3ForCausalLM(config or tiny_config()).float()
