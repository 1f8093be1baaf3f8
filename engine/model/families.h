// The families of models that one forward pass serves, as data.
#pragma once

#include <string>

namespace sluice {

// Names of the parameters in a checkpoint. A layer's are layer_prefix + index + "." + name.
struct WeightNames {
  std::string embedding = "model.embed_tokens.weight";
  std::string final_norm = "model.norm.weight";
  std::string lm_head = "lm_head.weight";
  std::string layer_prefix = "model.layers.";
  std::string attention_norm = "input_layernorm.weight";
  std::string attention_post_norm = "post_attention_layernorm.weight";  // with post_norms
  std::string q = "self_attn.q_proj.weight";
  std::string k = "self_attn.k_proj.weight";
  std::string v = "self_attn.v_proj.weight";
  std::string qkv = "self_attn.qkv_proj.weight";  // with fused_projections
  std::string q_norm = "self_attn.q_norm.weight";
  std::string k_norm = "self_attn.k_norm.weight";
  std::string o = "self_attn.o_proj.weight";
  std::string mlp_norm = "post_attention_layernorm.weight";
  std::string mlp_post_norm = "post_feedforward_layernorm.weight";  // with post_norms
  std::string gate = "mlp.gate_proj.weight";
  std::string up = "mlp.up_proj.weight";
  std::string gate_up = "mlp.gate_up_proj.weight";  // with fused_projections
  std::string down = "mlp.down_proj.weight";

  std::string of_layer(int layer, const std::string& name) const {
    return layer_prefix + std::to_string(layer) + "." + name;
  }
};

// CHECKs that `architecture` is in the table: parse_model_config (model_config.h) refused all
// others.
WeightNames weight_names(const std::string& architecture);

}  // namespace sluice
