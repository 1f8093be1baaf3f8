// ChatTemplate: messages in, prompt pieces out; the template language itself is in jinja/.
#include "server/text/chat_template.h"

#include <utility>

#include "server/text/jinja/evaluator.h"
#include "server/text/jinja/text_ops.h"
#include "server/text/prompt_pieces.h"

namespace sluice {
namespace {

// What a client sent: every text and key in it is the user's. Its depth is JsonValue's.
jinja::Value user_value(const JsonValue& json) {
  if (const bool* flag = json.as_bool()) return {*flag};
  if (const int64_t* integer = json.as_integer()) return {*integer};
  if (const double* number = json.as_float()) return {*number};
  if (const std::string* text = json.as_string()) return jinja::make_text(*text, true);
  if (const JsonValue::Array* array = json.as_array()) {
    std::vector<jinja::Value> items;
    for (const JsonValue& item : *array) items.push_back(user_value(item));
    return jinja::make_list(std::move(items));
  }
  const JsonValue::Object* object = json.as_object();
  if (object == nullptr) return {jinja::Value::None{}};
  std::vector<jinja::DictItem> items;
  for (const auto& [key, value] : *object) items.push_back({key, user_value(value), true});
  return jinja::make_dict(std::move(items));
}

jinja::Value message_value(const TemplateMessage& message) {
  const auto text = [](std::string_view field) { return jinja::make_text(field, true); };
  std::vector<jinja::DictItem> fields;
  fields.push_back({"role", text(message.role)});
  fields.push_back({"content", message.has_content ? text(message.content)
                                                   : jinja::Value{jinja::Value::None{}}});
  if (!message.name.empty()) fields.push_back({"name", text(message.name)});
  if (message.more != nullptr) {
    for (const auto& [key, value] : *message.more->as_object()) {
      fields.push_back({key, user_value(value), true});
    }
  }
  return jinja::make_dict(std::move(fields));
}

// Later ones are not seen where an earlier one has their name: clients may choose what templates
// offer, not who speaks.
jinja::Variables make_variables(const std::vector<TemplateMessage>& messages,
                                const ChatTemplateOptions& options) {
  std::vector<jinja::Value> values;
  values.reserve(messages.size());
  for (const TemplateMessage& message : messages) values.push_back(message_value(message));
  const jinja::Value none{jinja::Value::None{}};
  jinja::Variables variables = {{"messages", jinja::make_list(std::move(values))},
                                {"add_generation_prompt", {options.add_generation_prompt}},
                                {"tools", options.tools ? user_value(*options.tools) : none}};
  for (const auto& [name, spelling] :
       {std::pair{"bos_token", options.bos_token}, std::pair{"eos_token", options.eos_token},
        std::pair{"unk_token", options.unk_token}}) {
    if (spelling.empty()) continue;
    variables.emplace_back(name, jinja::make_text(spelling, /*from_user=*/false));
  }
  if (options.variables != nullptr) {
    for (const auto& [name, value] : *options.variables->as_object()) {
      variables.emplace_back(name, user_value(value));
    }
  }
  variables.emplace_back("documents", none);  // templates ask whether there are some
  return variables;
}

// Up to the end of the last message's content, which a template may have trimmed.
Result<jinja::MarkedText> cut_behind(const jinja::MarkedText& prompt, std::string_view content) {
  const std::string flat = prompt.flat();
  const std::string trimmed =
      jinja::strip(jinja::MarkedText(content, true), "", jinja::Ends::kBoth).flat();
  const size_t found = flat.rfind(trimmed);
  if (found == std::string::npos) {
    return invalid_argument(
        "continue_final_message: the chat template does not write the last message as it is",
        "messages");
  }
  const bool whole = flat.compare(found, content.size(), content) == 0;
  return prompt.slice(0, found + (whole ? content.size() : trimmed.size()));
}

// Cuts what the template wrote at control tokens; what a user wrote is never cut.
std::vector<PromptPiece> split_controls(const jinja::MarkedText& prompt,
                                        const Tokenizer& tokenizer) {
  std::vector<PromptPiece> pieces;
  for (const jinja::MarkedText::Span& span : prompt.spans()) {
    if (span.from_user) {
      append_plain(span.text, pieces);
    } else {
      append_trusted(span.text, tokenizer, pieces);
    }
  }
  return pieces;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::compile(std::string_view source) {
  Result<jinja::Template> compiled = jinja::parse(source);
  if (!compiled.ok()) {
    return Status(StatusCode::kUnimplemented,
                  "the chat template cannot be compiled: " + compiled.status().message());
  }
  return ChatTemplate(std::make_shared<const jinja::Template>(std::move(compiled).value()),
                      source.find("tools") != std::string_view::npos);
}

Result<RenderedChat> ChatTemplate::render(const std::vector<TemplateMessage>& messages,
                                          const ChatTemplateOptions& options,
                                          const Tokenizer& tokenizer) const {
  if (options.tools != nullptr && !names_tools_) {
    return invalid_argument("tools: the model's chat template knows no tools; leave them out",
                            "tools");
  }
  Result<jinja::MarkedText> prompt =
      jinja::render(*template_, make_variables(messages, options), options.now);
  if (!prompt.ok()) {
    return invalid_argument(
        "the chat template refuses these messages: " + prompt.status().message(), "messages");
  }
  RenderedChat rendered;
  if (options.continue_final_message && !messages.empty()) {
    prompt = cut_behind(prompt.value(), messages.back().content);
    if (!prompt.ok()) return prompt.status();
    rendered.answer_start = messages.back().content;
  } else if (!prompt->spans().empty() && !prompt->spans().back().from_user) {
    rendered.answer_start = prompt->spans().back().text;
  }
  rendered.pieces = split_controls(prompt.value(), tokenizer);
  return rendered;
}

}  // namespace sluice
