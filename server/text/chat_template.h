// ChatTemplate: a model's chat template (Jinja), compiled once, rendered for each request.
//
// The text that comes out keeps its origin: spellings of control tokens are control tokens where
// the template wrote them, and plain text where a user did. Immutable and thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/json_value.h"
#include "server/text/tokenizer.h"

namespace sluice {

// One message as the template sees it; empty `name`: it has none.
struct TemplateMessage {
  std::string_view role, content, name;
  // An object, or null: its members are the message's too (tool_calls, tool_call_id).
  const JsonValue* more = nullptr;
  bool has_content = true;  // false: the template sees none as content
};

struct ChatTemplateOptions {
  std::string_view bos_token{}, eos_token{}, unk_token{};  // spellings; trusted
  bool add_generation_prompt = true;
  // The prompt ends with the last message's content, for the model to go on with.
  bool continue_final_message = false;
  const JsonValue* tools = nullptr;      // a list, or null: none
  const JsonValue* variables = nullptr;  // an object, or null: more variables, a user's
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

struct RenderedChat {
  std::vector<PromptPiece> pieces;
  // What of the answer the prompt holds already, and may be more before it: what the template
  // wrote behind the last text of a user's, or the message that the answer continues.
  std::string answer_start;
};

namespace jinja {
class Template;
}

class ChatTemplate {
 public:
  // Refuses what the engine does not know, with the line and the construct.
  static Result<ChatTemplate> compile(std::string_view source);

  // The prompt, control tokens found by their spelling in `tokenizer`. kInvalidArgument with the
  // field "messages": the template refused them (raise_exception), or a bound was hit; "tools":
  // there are some, and the template never names them.
  Result<RenderedChat> render(const std::vector<TemplateMessage>& messages,
                              const ChatTemplateOptions& options, const Tokenizer& tokenizer) const;

 private:
  ChatTemplate(std::shared_ptr<const jinja::Template> compiled, bool names_tools)
      : template_(std::move(compiled)), names_tools_(names_tools) {}
  std::shared_ptr<const jinja::Template> template_;
  bool names_tools_;
};

}  // namespace sluice
