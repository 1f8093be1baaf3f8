// The tiny model in GGUF's names and order of rows.
#include "gguf_writer.h"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

// Halves of a head as neighbouring rows.
SourceTensor interleaved(const SourceTensor& tensor, int64_t head_dim) {
  SourceTensor result = tensor;
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t in_head = row % head_dim, half = head_dim / 2;
    const int64_t to = row - in_head + in_head % half * 2 + in_head / half;
    std::copy_n(tensor.values.begin() + row * cols, cols, result.values.begin() + to * cols);
  }
  return result;
}

}  // namespace

GgufWriter tiny_gguf(bool tied, const SourceTensors& tensors) {
  const nlohmann::json config = nlohmann::json::parse(tiny_config(tied));
  const auto integer = [&](const char* key) { return config[key].get<uint32_t>(); };
  const uint32_t heads = integer("num_attention_heads");
  const uint32_t head_dim = config.value("head_dim", integer("hidden_size") / heads);
  GgufWriter file;
  file.text("general.architecture", "llama")
      .integer("llama.block_count", integer("num_hidden_layers"))
      .integer("llama.context_length", integer("max_position_embeddings"))
      .integer("llama.embedding_length", integer("hidden_size"))
      .integer("llama.feed_forward_length", integer("intermediate_size"))
      .integer("llama.attention.head_count", heads)
      .integer("llama.attention.head_count_kv", integer("num_key_value_heads"))
      .integer("llama.attention.key_length", head_dim)
      .number("llama.attention.layer_norm_rms_epsilon", config["rms_norm_eps"].get<float>())
      .number("llama.rope.freq_base", config.value("rope_theta", 10000.0F));
  static const std::vector<std::pair<std::string, std::string>> kNames = {
      {"model.embed_tokens.", "token_embd."},
      {"model.norm.", "output_norm."},
      {"lm_head.", "output."},
      {"model.layers.", "blk."},
      {"input_layernorm.", "attn_norm."},
      {"post_attention_layernorm.", "ffn_norm."},
      {"self_attn.q_proj.", "attn_q."},
      {"self_attn.k_proj.", "attn_k."},
      {"self_attn.v_proj.", "attn_v."},
      {"self_attn.o_proj.", "attn_output."},
      {"mlp.gate_proj.", "ffn_gate."},
      {"mlp.up_proj.", "ffn_up."},
      {"mlp.down_proj.", "ffn_down."}};
  for (const auto& [name, tensor] : tensors) {
    std::string renamed = name;
    for (const auto& [from, to] : kNames) {
      if (const size_t at = renamed.find(from); at != std::string::npos) {
        renamed.replace(at, from.size(), to);
      }
    }
    const bool rotated = renamed.ends_with("attn_q.weight") || renamed.ends_with("attn_k.weight");
    file.tensor(renamed, rotated ? interleaved(tensor, head_dim) : tensor);
  }
  return file;
}

}  // namespace sluice
