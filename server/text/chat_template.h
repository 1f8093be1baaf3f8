// ChatTemplate: a model's chat template (Jinja), compiled once, rendered for each request.
//
// The text that comes out keeps its origin: spellings of control tokens are control tokens where
// the template wrote them, and plain text where a user did. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/tokenizer.h"

namespace sluice {

// One message as the template sees it; empty `name`: it has none.
struct TemplateMessage {
  std::string_view role, content, name;
};

struct ChatTemplateOptions {
  std::string_view bos_token, eos_token, unk_token;  // spellings; trusted
  bool add_generation_prompt = true;
};

namespace jinja {
class Template;
}

class ChatTemplate {
 public:
  // Refuses what the engine does not know, with the line and the construct.
  static Result<ChatTemplate> compile(std::string_view source);

  // The prompt, control tokens found by their spelling in `tokenizer`. kInvalidArgument with the
  // field "messages": the template refused them (raise_exception), or a bound was hit.
  Result<std::vector<PromptPiece>> render(const std::vector<TemplateMessage>& messages,
                                          const ChatTemplateOptions& options,
                                          const Tokenizer& tokenizer) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Template> compiled)
      : template_(std::move(compiled)) {}
  std::shared_ptr<const jinja::Template> template_;
};

}  // namespace sluice
