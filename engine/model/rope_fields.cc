// Spellings, defaults and limits of RoPE in config.json; the formulas are rope.cc's.
#include "engine/model/rope_fields.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

struct KindName {
  const char* name;
  RopeKind kind;
};
constexpr KindName kKinds[] = {
    {"default", RopeKind::kPlain},       {"linear", RopeKind::kLinear},
    {"dynamic", RopeKind::kDynamic},     {"yarn", RopeKind::kYarn},
    {"llama3", RopeKind::kLlama3},       {"longrope", RopeKind::kLongrope},
    {"su", RopeKind::kLongrope},  // what Phi-3 called it first
    {"truncated", RopeKind::kTruncated}, {"power", RopeKind::kPower},
};

std::optional<RopeKind> kind_named(const std::string& name) {
  for (const KindName& kind : kKinds)
    if (name == kind.name) return kind.kind;
  return {};
}

std::string kind_names() {
  std::string list;
  for (const KindName& kind : kKinds) list += (list.empty() ? "" : ", ") + std::string(kind.name);
  return list;
}

double read_yarn_magnitude(ConfigFields& fields, double factor) {
  const double m = fields.real("mscale").value_or(0);
  const double all = fields.real("mscale_all_dim").value_or(0);
  if (m == 0 || all == 0) return yarn_magnitude(factor, 1);
  return yarn_magnitude(factor, m) / yarn_magnitude(factor, all);
}

// One object of RoPE's fields; `model` is the object around it.
RopeConfig read_rope(ConfigFields& fields, ConfigFields& model, ModelConfig& config) {
  RopeConfig rope;
  rope.theta = fields.real("rope_theta").value_or(model.real("rope_theta").value_or(rope.theta));
  const std::optional<std::string> type = fields.text("rope_type");
  const std::string name = type ? *type : fields.text("type").value_or("default");
  const std::optional<RopeKind> kind = kind_named(name);
  if (!kind) {
    fields.refuse(
        str("RoPE of type \"", shown(name), "\" is not supported; supported are: ", kind_names()));
    return rope;
  }
  rope.kind = *kind;
  const char* original = "original_max_position_embeddings";
  rope.trained_positions =
      fields.integer(original).value_or(model.integer(original).value_or(config.max_position));
  const double stretch = static_cast<double>(config.max_position) /
                         static_cast<double>(std::max<int64_t>(rope.trained_positions, 1));
  rope.factor = fields.real("factor").value_or(std::max(stretch, 1.0));
  rope.beta_fast = fields.real("beta_fast").value_or(rope.beta_fast);
  rope.beta_slow = fields.real("beta_slow").value_or(rope.beta_slow);
  rope.truncate = fields.boolean("truncate").value_or(true);
  rope.low_freq_factor = fields.real("low_freq_factor").value_or(rope.low_freq_factor);
  rope.high_freq_factor = fields.real("high_freq_factor").value_or(rope.high_freq_factor);
  rope.power = fields.real("power").value_or(rope.power);
  if (rope.kind == RopeKind::kYarn) rope.magnitude = read_yarn_magnitude(fields, rope.factor);
  if (rope.kind == RopeKind::kLongrope) {
    rope.magnitude = longrope_magnitude(rope.factor, rope.trained_positions);
    rope.factors = fields.reals("short_factor");
  }
  if (rope.kind == RopeKind::kYarn || rope.kind == RopeKind::kLongrope)
    rope.magnitude = fields.real("attention_factor").value_or(rope.magnitude);
  return rope;
}

// Longer requests would need tables of their own, chosen by their length.
void limit_to_one_table(const RopeConfig& rope, ModelConfig& config) {
  if (rope.kind == RopeKind::kDynamic) {
    config.limit_positions(rope.trained_positions,
                           "RoPE of type dynamic has another table for every greater length");
  }
  if (rope.kind == RopeKind::kLongrope) {
    config.limit_positions(rope.trained_positions,
                           "longrope has another table past original_max_position_embeddings");
  }
  // Qwen's way of switching YaRN on leaves max_position_embeddings as it was.
  const double reach = static_cast<double>(rope.trained_positions) * rope.factor;
  if (rope.kind == RopeKind::kYarn && reach < 1e9)
    config.max_position = std::max(config.max_position, static_cast<int64_t>(reach));
}

}  // namespace

void read_ropes(ConfigFields& fields, ModelConfig& config) {
  double part = fields.real("partial_rotary_factor").value_or(1);
  std::optional<ConfigFields> scaling = fields.object("rope_scaling");
  if (auto parameters = fields.object("rope_parameters")) scaling = parameters;
  if (scaling && scaling->is_object("full_attention")) {
    // One object for each type of layer.
    ConfigFields global = *scaling->object("full_attention");
    if (auto local = scaling->object("sliding_attention"))
      config.local_rope = read_rope(*local, fields, config);
    scaling = global;
  } else if (const auto theta = fields.real("rope_local_base_freq")) {
    config.local_rope.emplace().theta = *theta;
  }
  if (scaling) part = scaling->real("partial_rotary_factor").value_or(part);
  ConfigFields& source = scaling ? *scaling : fields;
  config.rope = read_rope(source, fields, config);
  limit_to_one_table(config.rope, config);
  if (config.local_rope) limit_to_one_table(*config.local_rope, config);
  if (!(part > 0 && part <= 1)) {
    fields.refuse(str("partial_rotary_factor is ", part, "; expected more than 0, at most 1"));
    part = 1;
  }
  config.rotary_dim = static_cast<int>(config.head_dim * part);
}

}  // namespace sluice
