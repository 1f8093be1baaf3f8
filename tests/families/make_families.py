#!/usr/bin/env python3
# Writes this folder's goldens: a two-layer random model of each family, as transformers computes it in float32.
#
#   python3 -m venv v && v/bin/pip install torch transformers && v/bin/python tests/families/make_families.py
#
# FAMILY.json: config.json as transformers writes it, names and shapes of the weights, a prompt, and the logits of some
# of its positions. The weights are a formula (weight() here, its twin in tests/engine/families_test.cc), so no file
# holds them. rope.json: frequencies and scale factors of each kind of RoPE.
import json
import pathlib

import numpy as np
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = pathlib.Path(__file__).parent
VOCAB = 48
TOKENS = 70  # more than a block of the cache
POSITIONS = [0, 1, 5, 63, 64, TOKENS - 1]
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LONG = [1 + i / 8 for i in range(64)]


def weight(name, count):
    """Multiples of 1/64 in [-1/4, 1/4]: exact in every float type. FNV-1a of the name seeds splitmix64."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z % np.uint64(33)).astype(np.float32) / 64 - 0.25


def fill(model, norms_add_one):
    """Sets every parameter; returns names and shapes as a checkpoint has them."""
    shapes = {}
    tied = model.config.tie_word_embeddings
    for name, parameter in model.named_parameters():
        if tied and name == "lm_head.weight":
            continue
        values = weight(name, parameter.numel())
        if "norm" in name and not norms_add_one:
            values = values + 1
        parameter.data = torch.from_numpy(values.reshape(tuple(parameter.shape)))
        shapes[name] = list(parameter.shape)
    model.tie_weights()
    return shapes


def golden(file, cls, config, changes=None, norms_add_one=False):
    """Writes a family's file. changes: to the config that is written; None takes a key away."""
    config.dtype = "float32"
    config._attn_implementation = "eager"
    model = cls(config).eval().float()
    shapes = fill(model, norms_add_one)
    prompt = [(7 * i * i + 3 * i + 1) % VOCAB for i in range(TOKENS)]
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0].float().numpy()
    written = json.loads(config.to_json_string())
    written["architectures"] = [cls.__name__]
    written.pop("transformers_version", None)
    written |= changes or {}
    written = {key: value for key, value in written.items() if key not in (changes or {}) or value is not None}
    text = {
        "transformers": transformers.__version__,
        "config": written,
        "tensors": shapes,
        "norms_add_one": norms_add_one,
        "prompt": prompt,
        "positions": POSITIONS,
        "logits": [[round(float(x), 5) for x in logits[p]] for p in POSITIONS],
    }
    (HERE / file).write_text(json.dumps(text, indent=None, separators=(",", ":")) + "\n")
    print(file, "largest logit", abs(logits).max())


def families():
    t = transformers
    llama3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 32}
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
    longrope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": LONG[:24], "long_factor": LONG[8:32],
                "partial_rotary_factor": 0.75}
    golden("llama.json", t.LlamaForCausalLM, t.LlamaConfig(**SHAPE, rope_parameters=llama3, attention_bias=True,
                                                           mlp_bias=True, tie_word_embeddings=True))
    golden("mistral.json", t.MistralForCausalLM, t.MistralConfig(**SHAPE, sliding_window=20))
    golden("qwen2.json", t.Qwen2ForCausalLM,
           t.Qwen2Config(**SHAPE, rope_parameters=yarn, use_sliding_window=True, sliding_window=40, max_window_layers=1),
           changes={"layer_types": None})
    golden("qwen3.json", t.Qwen3ForCausalLM, t.Qwen3Config(**SHAPE))
    golden("smollm3.json", t.SmolLM3ForCausalLM, t.SmolLM3Config(**SHAPE, no_rope_layers=[1, 0]))
    golden("phi3.json", t.Phi3ForCausalLM, t.Phi3Config(**SHAPE | {"hidden_size": 256}, original_max_position_embeddings=128,
                                                        rope_parameters=longrope))
    golden("olmo2.json", t.Olmo2ForCausalLM, t.Olmo2Config(**SHAPE))
    scaled = {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0}
    golden("granite.json", t.GraniteForCausalLM, t.GraniteConfig(**SHAPE, attention_multiplier=1 / 64, **scaled))
    # MiniCPM is Granite under other names; transformers has it as remote code only.
    names = {"architectures": ["MiniCPMForCausalLM"], "scale_emb": 12.0, "scale_depth": 1.4, "dim_model_base": 8}
    scaled = {"embedding_multiplier": 12.0, "residual_multiplier": 1.4 / 2**0.5, "logits_scaling": 32 / 8}
    golden("minicpm.json", t.GraniteForCausalLM, t.GraniteConfig(**SHAPE, attention_multiplier=1 / 8, **scaled),
           changes=names | dict.fromkeys([*scaled, "attention_multiplier"]))
    golden("gemma2.json", t.Gemma2ForCausalLM,
           t.Gemma2Config(**SHAPE, query_pre_attn_scalar=32, sliding_window=25, attn_logit_softcapping=5.0,
                          final_logit_softcapping=3.0), norms_add_one=True)
    ropes = {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    golden("gemma3.json", t.Gemma3ForCausalLM,
           t.Gemma3TextConfig(**SHAPE, rope_parameters=ropes, query_pre_attn_scalar=32, sliding_window=30,
                              layer_types=["sliding_attention", "full_attention"]), norms_add_one=True)


def ropes():
    cases = [
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
        {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
        {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 8192},
        {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768},
        {"rope_type": "yarn", "rope_theta": 1e4, "factor": 40.0, "original_max_position_embeddings": 4096,
         "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 1.0},
        {"rope_type": "yarn", "rope_theta": 1.5e5, "factor": 32.0, "original_max_position_embeddings": 4096,
         "truncate": False},
        {"rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 4096,
         "attention_factor": 1.25},
        {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": LONG[:48], "long_factor": LONG[16:],
         "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75},
    ]
    out = []
    for rope in cases:
        config = transformers.LlamaConfig(**SHAPE | {"head_dim": 128, "max_position_embeddings": 32768},
                                          rope_parameters=dict(rope))
        frequencies, magnitude = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu", seq_len=4096)
        out.append({"rope_parameters": rope, "max_position_embeddings": 32768, "head_dim": 128,
                    "magnitude": magnitude, "frequencies": [float(f"{f:.8g}") for f in frequencies.tolist()]})
    (HERE / "rope.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    ropes()
    families()
