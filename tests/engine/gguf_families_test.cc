// Each architecture of gguf_families.cc: the golden model of its family (tests/families) written as
// a converter writes it computes the logits that the directory does.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/model/gguf_model.h"
#include "gguf_writer.h"
#include "golden_family.h"
#include "tests/kernels/backends.h"

namespace sluice {
namespace {

using nlohmann::json;

struct Names {
  const char* config;  // of a tensor in a directory, up to its last dot
  const char* gguf;
};
constexpr Names kOutside[] = {
    {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}};
constexpr Names kInLayer[] = {{"input_layernorm", "attn_norm"},
                              {"self_attn.q_proj", "attn_q"},
                              {"self_attn.k_proj", "attn_k"},
                              {"self_attn.v_proj", "attn_v"},
                              {"self_attn.qkv_proj", "attn_qkv"},
                              {"self_attn.o_proj", "attn_output"},
                              {"self_attn.q_norm", "attn_q_norm"},
                              {"self_attn.k_norm", "attn_k_norm"},
                              {"pre_feedforward_layernorm", "ffn_norm"},
                              {"post_feedforward_layernorm", "post_ffw_norm"},
                              {"mlp.gate_proj", "ffn_gate"},
                              {"mlp.up_proj", "ffn_up"},
                              {"mlp.gate_up_proj", "ffn_up"},
                              {"mlp.down_proj", "ffn_down"}};

std::string gguf_name(const std::string& name, bool has_post_norms) {
  const size_t dot = name.rfind('.');
  const std::string stem = name.substr(0, dot), kind = name.substr(dot);
  for (const Names& names : kOutside)
    if (stem == names.config) return names.gguf + kind;
  const std::string prefix = "model.layers.";
  const size_t after = stem.find('.', prefix.size());
  const std::string block = "blk." + stem.substr(prefix.size(), after - prefix.size()) + ".";
  const std::string rest = stem.substr(after + 1);
  if (rest == "post_attention_layernorm")
    return block + (has_post_norms ? "post_attention_norm" : "ffn_norm") + kind;
  for (const Names& names : kInLayer)
    if (rest == names.config) return block + names.gguf + kind;
  ADD_FAILURE() << "no name for " << name;
  return name;
}

// Rows i and i + head_dim / 2 of each head become neighbours.
void join_pairs(SourceTensor& tensor, int64_t head_dim) {
  const int64_t cols = tensor.shape.at(1), half = head_dim / 2;
  const std::vector<float> old = tensor.values;
  for (int64_t row = 0; row < tensor.shape[0]; ++row) {
    const int64_t in_head = row % head_dim;
    const int64_t to = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    std::copy_n(old.begin() + row * cols, cols, tensor.values.begin() + to * cols);
  }
}

class GgufFamilies : public KernelTest {
 protected:
  // What every architecture writes down; `add` the rest.
  template <typename Add>
  void expect_same(const std::string& architecture, json golden, bool neighbours, Add&& add) {
    SCOPED_TRACE(architecture);
    const json& config = golden["config"];
    GgufWriter file;
    const std::string prefix = architecture + ".";
    const auto integer = [&](const char* key, const char* from) {
      file.integer(prefix + key, config[from].get<uint32_t>());
    };
    file.text("general.architecture", architecture);
    integer("embedding_length", "hidden_size");
    integer("feed_forward_length", "intermediate_size");
    integer("block_count", "num_hidden_layers");
    integer("attention.head_count", "num_attention_heads");
    integer("attention.head_count_kv", "num_key_value_heads");
    integer("attention.key_length", "head_dim");
    integer("context_length", "max_position_embeddings");
    file.number(prefix + "attention.layer_norm_rms_epsilon", config["rms_norm_eps"].get<float>());
    add(file, prefix);
    const bool has_post_norms =
        golden["tensors"].contains("model.layers.0.post_feedforward_layernorm.weight");
    for (auto& [name, tensor] : tensors_of(golden)) {
      SourceTensor written = tensor;
      const bool rotates = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
      if (rotates && neighbours) join_pairs(written, config["head_dim"].get<int64_t>());
      if (golden["norms_add_one"] && name.find("norm") != std::string::npos)
        for (float& value : written.values) value += 1;
      file.tensor(gguf_name(name, has_post_norms), written);
    }
    const TempDir dir;
    write_model(dir, golden);
    dir.write("model.gguf", file.finish());
    // Metadata holds floats where config.json has doubles.
    const auto got = logits_from(dir.path() + "/model.gguf", golden);
    const auto want = logits_from(dir.path(), golden);
    ASSERT_EQ(got.size(), want.size());
    double worst = 0;
    for (size_t r = 0; r < want.size(); ++r) {
      for (size_t i = 0; i < want[r].size(); ++i)
        worst = std::max<double>(worst, std::fabs(got[r][i] - want[r][i]));
    }
    EXPECT_LT(worst, 1e-4);
  }

  std::vector<std::vector<float>> logits_from(const std::string& path, const json& golden) {
    const Result<ModelConfig> config = read_model_config(path);
    if (!config.ok()) {
      ADD_FAILURE() << config.status().message();
      return {};
    }
    const auto model = load_decoder_model({.path = path}, config.value(), backend());
    if (!model.ok()) {
      ADD_FAILURE() << model.status().message();
      return {};
    }
    return logits_of(backend(), *model.value(), golden, /*chunk=*/70);
  }
};
SLUICE_ON_EVERY_BACKEND(GgufFamilies);

void nothing(GgufWriter& /*file*/, const std::string& /*prefix*/) {}

TEST_P(GgufFamilies, Qwen2WithYarn) {
  json golden = read_golden("qwen2");
  golden["config"]["use_sliding_window"] = false;  // no key says so
  expect_same("qwen2", golden, false, [](GgufWriter& file, const std::string& prefix) {
    file.text(prefix + "rope.scaling.type", "yarn").number(prefix + "rope.scaling.factor", 4);
    file.integer(prefix + "rope.scaling.original_context_length", 64);
  });
}
TEST_P(GgufFamilies, Qwen3) { expect_same("qwen3", read_golden("qwen3"), false, nothing); }
TEST_P(GgufFamilies, Olmo2) {
  json golden = read_golden("olmo2");
  const float theta = golden["config"]["rope_parameters"]["rope_theta"];
  expect_same("olmo2", golden, false, [theta](GgufWriter& file, const std::string& prefix) {
    file.number(prefix + "rope.freq_base", theta);
  });
}
TEST_P(GgufFamilies, Granite) {
  expect_same(
      "granite", read_golden("granite"), true, [](GgufWriter& file, const std::string& prefix) {
        file.number(prefix + "embedding_scale", 12).number(prefix + "residual_scale", 0.22F);
        file.number(prefix + "attention.scale", 1.0F / 64).number(prefix + "logit_scale", 8);
      });
}
TEST_P(GgufFamilies, Phi3WithLongrope) {
  const json golden = read_golden("phi3");
  const json& rope = golden["config"]["rope_parameters"];
  const auto factors = rope["short_factor"].get<std::vector<float>>();
  const auto pairs = static_cast<int64_t>(factors.size());
  expect_same("phi3", golden, false, [&](GgufWriter& file, const std::string& prefix) {
    file.integer(prefix + "rope.dimension_count", static_cast<uint32_t>(2 * pairs));
    file.integer(prefix + "rope.scaling.original_context_length", 128);
    file.number(prefix + "rope.scaling.attn_factor",
                static_cast<float>(longrope_magnitude(256.0 / 128, 128)));
    for (const char* name : {"rope_factors_short.weight", "rope_factors_long.weight"})
      file.tensor(name, {.shape = {pairs}, .values = factors});
  });
}
TEST_P(GgufFamilies, Gemma2) {
  json golden = read_golden("gemma2");
  golden["config"]["query_pre_attn_scalar"] = 64;  // what no key says is head_dim
  expect_same("gemma2", golden, false, [](GgufWriter& file, const std::string& prefix) {
    file.number(prefix + "attn_logit_softcapping", 5).number(prefix + "final_logit_softcapping", 3);
    file.integer(prefix + "attention.sliding_window", 25);
  });
}
TEST_P(GgufFamilies, Gemma3) {
  json golden = read_golden("gemma3");
  golden["config"]["query_pre_attn_scalar"] = 64;
  golden["config"].erase("layer_types");  // every sixth, as no key says either
  expect_same("gemma3", golden, false, [](GgufWriter& file, const std::string& prefix) {
    file.number(prefix + "rope.freq_base", 1e6F).text(prefix + "rope.scaling.type", "linear");
    file.number(prefix + "rope.scaling.factor", 2);
    file.integer(prefix + "attention.sliding_window", 30);
  });
}

}  // namespace
}  // namespace sluice
