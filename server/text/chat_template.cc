// ChatTemplate: messages in, prompt pieces out; the template language itself is in jinja/.
#include "server/text/chat_template.h"

#include <utility>

#include "server/text/jinja/evaluator.h"
#include "server/text/prompt_pieces.h"

namespace sluice {
namespace {

jinja::Value message_value(const TemplateMessage& message) {
  std::vector<std::pair<std::string, jinja::Value>> fields;
  fields.emplace_back("role", jinja::make_text(message.role, /*from_user=*/true));
  fields.emplace_back("content", jinja::make_text(message.content, /*from_user=*/true));
  if (!message.name.empty()) {
    fields.emplace_back("name", jinja::make_text(message.name, /*from_user=*/true));
  }
  return jinja::make_dict(std::move(fields));
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
  return ChatTemplate(std::make_shared<const jinja::Template>(std::move(compiled).value()));
}

Result<std::vector<PromptPiece>> ChatTemplate::render(const std::vector<TemplateMessage>& messages,
                                                      const ChatTemplateOptions& options,
                                                      const Tokenizer& tokenizer) const {
  std::vector<jinja::Value> values;
  values.reserve(messages.size());
  for (const TemplateMessage& message : messages) values.push_back(message_value(message));
  jinja::Variables variables = {{"messages", jinja::make_list(std::move(values))},
                                {"add_generation_prompt", {options.add_generation_prompt}}};
  for (const auto& [name, spelling] :
       {std::pair{"bos_token", options.bos_token}, std::pair{"eos_token", options.eos_token},
        std::pair{"unk_token", options.unk_token}}) {
    if (spelling.empty()) continue;
    variables.emplace_back(name, jinja::make_text(spelling, /*from_user=*/false));
  }
  Result<jinja::MarkedText> prompt = jinja::render(*template_, variables);
  if (!prompt.ok()) {
    return invalid_argument(
        "the chat template refuses these messages: " + prompt.status().message(), "messages");
  }
  return split_controls(prompt.value(), tokenizer);
}

}  // namespace sluice
