// Forms of answers. What they say is checked when they are compiled.
#include "server/openai/form_readers.h"

#include <string_view>
#include <utility>

#include "base/text.h"

namespace sluice {
namespace {

// An answer has one form.
Status set_form(GrammarSpec form, GenerationDraft& draft) {
  std::optional<GrammarSpec>& place = draft.request.call.grammar;
  if (place) {
    return invalid_argument(str(form.field, ": ", place->field, " says another form; send one"),
                            form.field);
  }
  place = std::move(form);
  return {};
}

// A schema as an object (or true), or, as vLLM takes it too, as its JSON text.
Status read_schema(const Field& field, GenerationDraft& draft) {
  GrammarSpec form{.kind = GrammarSpec::Kind::kJsonSchema, .field = field.name};
  if (const std::string* text = field.value.as_string()) {
    form.text = *text;
  } else if (field.value.as_object() != nullptr || field.value.as_bool() != nullptr) {
    append_json(&form.text, field.value);
  } else {
    return field.mismatch("a JSON schema");
  }
  return set_form(std::move(form), draft);
}

Status read_text_form(const Field& field, GrammarSpec::Kind kind, GenerationDraft& draft) {
  const std::string* text = field.value.as_string();
  if (text == nullptr || text->empty()) return field.mismatch("a string that is not empty");
  return set_form({.kind = kind, .text = *text, .field = field.name}, draft);
}

Status read_choice(const Field& field, GenerationDraft& draft) {
  const JsonValue::Array* texts = field.value.as_array();
  if (texts == nullptr || texts->empty()) return field.mismatch("an array of strings");
  GrammarSpec form{.kind = GrammarSpec::Kind::kChoice, .field = field.name};
  for (const JsonValue& text : *texts) {
    if (text.as_string() == nullptr) return field.mismatch("an array of strings");
    form.choices.push_back(*text.as_string());
  }
  return set_form(std::move(form), draft);
}

Status read_json_object(const Field& field, GenerationDraft& draft) {
  bool wanted = false;
  SLUICE_RETURN_IF_ERROR(field.read(&wanted));
  if (!wanted) return {};
  return set_form({.kind = GrammarSpec::Kind::kJsonObject, .field = field.name}, draft);
}

constexpr struct {
  std::string_view name;
  Status (*read)(const Field& field, GenerationDraft& draft);
} kForms[] = {
    {"json", read_schema},
    {"regex", [](const Field& f,
                 GenerationDraft& d) { return read_text_form(f, GrammarSpec::Kind::kRegex, d); }},
    {"choice", read_choice},
    {"grammar", [](const Field& f,
                   GenerationDraft& d) { return read_text_form(f, GrammarSpec::Kind::kEbnf, d); }},
    {"json_object", read_json_object},
};

Status read_form(std::string_view name, const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  for (const auto& form : kForms) {
    if (form.name == name) return form.read(field, draft);
  }
  return field.unsupported("not supported by this server; leave it out");
}

}  // namespace

Status read_response_format(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  const JsonValue* type = field.value.find("type");
  if (type == nullptr || type->as_string() == nullptr) {
    return field.mismatch("an object with a \"type\"");
  }
  const std::string& name = *type->as_string();
  if (name == "text") return {};
  if (name == "json_object") {
    return set_form({.kind = GrammarSpec::Kind::kJsonObject, .field = field.name}, draft);
  }
  if (name != "json_schema") {
    return field.unsupported(type->describe() +
                             " is not supported; only \"text\", "
                             "\"json_object\" and \"json_schema\" are");
  }
  const JsonValue* inner = field.value.find("json_schema");
  const JsonValue& holder = inner == nullptr ? field.value : *inner;
  const JsonValue* schema = holder.find("schema");
  if (schema == nullptr || schema->is_null()) {
    return field.wrong("\"json_schema\" needs an object with a \"schema\"");
  }
  return read_schema({field.name, *schema}, draft);
}

Status read_structured_outputs(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  const JsonValue::Object* object = field.value.as_object();
  if (object == nullptr) return field.mismatch("an object");
  for (const auto& [name, value] : *object) {
    SLUICE_RETURN_IF_ERROR((read_form(name, {str(field.name, '.', name), value}, draft)));
  }
  return {};
}

Status read_guided(const Field& field, GenerationDraft& draft) {
  constexpr std::string_view kPrefix = "guided_";
  return read_form(std::string_view(field.name).substr(kPrefix.size()), field, draft);
}

}  // namespace sluice
