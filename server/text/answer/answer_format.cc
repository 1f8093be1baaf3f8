// AnswerFormat of a model: the operator's choice, else what the template shows.
#include "server/text/answer/answer_format.h"

#include <initializer_list>

#include "base/check.h"

namespace sluice {
namespace {

void add_controls(std::initializer_list<std::string_view> markers, const Tokenizer& tokenizer,
                  std::vector<TokenId>& out) {
  for (const std::string_view marker : markers) {
    if (marker.empty()) continue;
    if (const auto id = tokenizer.control_id(marker)) out.push_back(*id);
  }
}

}  // namespace

AnswerFormat make_answer_format(const AnswerFormatOptions& options, std::string_view chat_template,
                                const Tokenizer& tokenizer) {
  AnswerFormat format;
  format.auto_calls = options.auto_calls;
  format.calls =
      options.calls == "auto" ? call_syntax_of(chat_template) : find_call_syntax(options.calls);
  format.reasoning = options.reasoning == "auto" ? reasoning_syntax_of(chat_template)
                                                 : find_reasoning_syntax(options.reasoning);
  SLUICE_CHECK(format.calls != nullptr || options.calls == "auto" || options.calls == "none");
  SLUICE_CHECK(format.reasoning != nullptr || options.reasoning == "auto" ||
               options.reasoning == "none");
  if (format.calls != nullptr) {
    for (const CallSyntax::Markers& markers : format.calls->markers) {
      add_controls({markers.begin, markers.end}, tokenizer, format.call_tokens);
    }
    add_controls({format.calls->inner[0], format.calls->inner[1]}, tokenizer, format.call_tokens);
  }
  if (format.reasoning != nullptr) {
    add_controls({format.reasoning->open, format.reasoning->close}, tokenizer,
                 format.reasoning_tokens);
  }
  return format;
}

}  // namespace sluice
