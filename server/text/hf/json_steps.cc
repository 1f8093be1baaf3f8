// One function a kind of step; tables choose it.
#include "server/text/hf/json_steps.h"

#include <optional>

#include "base/text.h"
#include "server/text/hf/json_fields.h"

namespace sluice {
namespace {

constexpr const char* kSpaceSymbol = "\xE2\x96\x81";  // U+2581

Status not_supported(const std::string& what, const std::string& type) {
  return {StatusCode::kUnimplemented, str(what, " of type \"", type, "\" is not supported")};
}

// A pattern is {"String": "..."} or {"Regex": "..."}.
struct Pattern {
  std::optional<Regex> regex;
  std::string literal;
};

Result<Pattern> read_pattern(JsonFields& fields) {
  const JsonValue* pattern = fields.find("pattern");
  const JsonValue* literal = pattern == nullptr ? nullptr : pattern->find("String");
  const JsonValue* regex = pattern == nullptr ? nullptr : pattern->find("Regex");
  if (literal != nullptr && literal->as_string() != nullptr && !literal->as_string()->empty()) {
    return Pattern{std::nullopt, *literal->as_string()};
  }
  if (regex == nullptr || regex->as_string() == nullptr) {
    fields.fail(R"(pattern must be {"String": ...}, not empty, or {"Regex": ...})");
    return fields.status();
  }
  Result<Regex> compiled = Regex::compile(*regex->as_string());
  if (!compiled.ok()) return compiled.status();
  return Pattern{std::move(compiled).value(), ""};
}

// Applies `add` to each of a Sequence's members.
template <typename Add>
Status for_each_member(JsonFields& fields, const char* key, const Add& add) {
  const JsonValue::Array& members = fields.array(key);
  SLUICE_RETURN_IF_ERROR(fields.status());
  for (const JsonValue& member : members) SLUICE_RETURN_IF_ERROR(add(member));
  return {};
}

std::optional<SplitBehavior> behavior_named(const std::string& name) {
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return std::nullopt;
}

Status add_split(JsonFields& fields, PreTokenizer& out, PreTokenizerTraits& traits) {
  const Result<Pattern> pattern = read_pattern(fields);
  const auto behavior = behavior_named(fields.text("behavior"));
  const bool invert = fields.flag("invert", false);
  if (!behavior) fields.fail("behavior is not known");
  SLUICE_RETURN_IF_ERROR(fields.status());
  SLUICE_RETURN_IF_ERROR(pattern.status());
  traits.removes = traits.removes || *behavior == SplitBehavior::kRemoved;
  out.add(pattern->regex ? split_step(*pattern->regex, *behavior, invert)
                         : split_step(pattern->literal, *behavior, invert));
  return {};
}

// A step whose pattern is ours.
Status add_own_split(const char* pattern, SplitBehavior behavior, bool invert, PreTokenizer& out) {
  Result<Regex> regex = Regex::compile(pattern);
  if (!regex.ok()) return regex.status();
  out.add(split_step(std::move(regex).value(), behavior, invert));
  return {};
}

Status add_metaspace(JsonFields& fields, PreTokenizer& out) {
  const std::string replacement = fields.text("replacement", kSpaceSymbol);
  const bool old_always = fields.flag("add_prefix_space", true);
  const std::string scheme = fields.text("prepend_scheme", old_always ? "always" : "never");
  const bool split = fields.flag("split", true);
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    fields.fail("prepend_scheme must be always, first or never");
  }
  if (replacement.empty()) fields.fail("replacement is empty");
  SLUICE_RETURN_IF_ERROR(fields.status());
  out.add(metaspace_step(replacement,
                         scheme == "always"  ? PrependScheme::kAlways
                         : scheme == "first" ? PrependScheme::kFirst
                                             : PrependScheme::kNever,
                         split));
  return {};
}

Status add_byte_level(JsonFields& fields, PreTokenizer& out, PreTokenizerTraits& traits) {
  if (fields.flag("add_prefix_space", true)) out.add(prefix_space_step());
  const bool use_regex = fields.flag("use_regex", true);
  SLUICE_RETURN_IF_ERROR(fields.status());
  traits.byte_level = true;
  return use_regex ? add_own_split(kGpt2Pattern, SplitBehavior::kIsolated, false, out) : Status();
}

Status add_digits(JsonFields& fields, PreTokenizer& out) {
  const bool individual = fields.flag("individual_digits", false);
  SLUICE_RETURN_IF_ERROR(fields.status());
  return add_own_split(
      R"(\p{N})", individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false, out);
}

Status add_punctuation(JsonFields& fields, PreTokenizer& out, PreTokenizerTraits& traits) {
  const auto behavior = behavior_named(fields.text("behavior", "Isolated"));
  if (!behavior) fields.fail("behavior is not known");
  SLUICE_RETURN_IF_ERROR(fields.status());
  traits.removes = traits.removes || *behavior == SplitBehavior::kRemoved;
  return add_own_split(R"([\p{P}$+<=>^`|~])", *behavior, false, out);
}

Status add_replace(JsonFields& fields, Normalizer& out) {
  const Result<Pattern> pattern = read_pattern(fields);
  const std::string content = fields.text("content");
  SLUICE_RETURN_IF_ERROR(fields.status());
  SLUICE_RETURN_IF_ERROR(pattern.status());
  out.add(pattern->regex ? replace_step(*pattern->regex, content)
                         : replace_step(pattern->literal, content));
  return {};
}

}  // namespace

Status add_normalizer(const JsonValue& json, Normalizer& normalizer) {
  const std::string where = "normalizer";
  JsonFields fields(json, where);
  const std::string type = fields.text("type");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (type == "Sequence") {
    return for_each_member(fields, "normalizers", [&](const JsonValue& member) {
      return add_normalizer(member, normalizer);
    });
  }
  if (type == "Replace") return add_replace(fields, normalizer);
  if (type == "NFC") {
    normalizer.add(unicode_form_step(UnicodeForm::kNfc));
  } else if (type == "NFD") {
    normalizer.add(unicode_form_step(UnicodeForm::kNfd));
  } else if (type == "NFKC") {
    normalizer.add(unicode_form_step(UnicodeForm::kNfkc));
  } else if (type == "NFKD") {
    normalizer.add(unicode_form_step(UnicodeForm::kNfkd));
  } else if (type == "Lowercase") {
    normalizer.add(lowercase_step());
  } else if (type == "StripAccents") {
    normalizer.add(strip_marks_step());
  } else if (type == "Strip") {
    normalizer.add(strip_step(fields.flag("strip_left", true), fields.flag("strip_right", true)));
  } else if (type == "Prepend") {
    normalizer.add(prepend_step(fields.text("prepend")));
  } else {
    return not_supported(where, type);
  }
  return fields.status();
}

Status add_pre_tokenizer(const JsonValue& json, PreTokenizer& pre_tokenizer,
                         PreTokenizerTraits& traits) {
  const std::string where = "pre_tokenizer";
  JsonFields fields(json, where);
  const std::string type = fields.text("type");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (type == "Sequence") {
    return for_each_member(fields, "pretokenizers", [&](const JsonValue& member) {
      return add_pre_tokenizer(member, pre_tokenizer, traits);
    });
  }
  if (traits.byte_level) {
    return {StatusCode::kUnimplemented, "pre_tokenizer: nothing may follow ByteLevel"};
  }
  if (type == "Split") return add_split(fields, pre_tokenizer, traits);
  if (type == "ByteLevel") return add_byte_level(fields, pre_tokenizer, traits);
  if (type == "Metaspace") return add_metaspace(fields, pre_tokenizer);
  if (type == "Digits") return add_digits(fields, pre_tokenizer);
  if (type == "Punctuation") return add_punctuation(fields, pre_tokenizer, traits);
  if (type != "Whitespace" && type != "WhitespaceSplit") return not_supported(where, type);
  traits.removes = true;
  const char* words = type == "Whitespace" ? R"(\w+|[^\w\s]+)" : R"(\S+)";
  return add_own_split(words, SplitBehavior::kRemoved, /*invert=*/true, pre_tokenizer);
}

Status add_decoder(const JsonValue& json, TokenBytes& rules) {
  const std::string where = "decoder";
  JsonFields fields(json, where);
  const std::string type = fields.text("type");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (type == "Sequence") {
    return for_each_member(fields, "decoders",
                           [&](const JsonValue& member) { return add_decoder(member, rules); });
  }
  if (type == "ByteLevel") {
    rules.byte_level = true;
  } else if (type == "ByteFallback") {
    rules.byte_fallback = true;
  } else if (type == "Replace") {
    const Result<Pattern> pattern = read_pattern(fields);
    if (!pattern.ok() || pattern->regex) return not_supported("decoder with a pattern", type);
    rules.replacements.emplace_back(pattern->literal, fields.text("content"));
  } else if (type == "Metaspace") {
    const bool old_always = fields.flag("add_prefix_space", true);
    const std::string scheme = fields.text("prepend_scheme", old_always ? "always" : "never");
    rules.replacements.emplace_back(fields.text("replacement", kSpaceSymbol), " ");
    rules.drops_leading_space = scheme != "never";
  } else if (type == "Strip") {
    const bool one_space = fields.text("content") == " " && fields.integer("start") == 1 &&
                           fields.integer("stop").value_or(0) == 0;
    if (!one_space) return not_supported("decoder of another than one leading space", type);
    rules.drops_leading_space = true;
  } else if (type != "Fuse") {
    return not_supported(where, type);
  }
  return fields.status();
}

}  // namespace sluice
