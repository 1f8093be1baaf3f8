// Server-sent events of OpenAI's completions.
#include "server/openai/completion_writer.h"

#include "server/openai/error_body.h"
#include "server/text/json_text.h"

namespace sluice {

CompletionWriter::CompletionWriter(const ResponseHead& head, bool logprobs, bool with_usage)
    : chat_(head.chat), logprobs_(logprobs), with_usage_(with_usage) {
  prefix_ = R"(data: {"id":)";
  append_json_string(&prefix_, head.id);
  prefix_ += head.chat ? R"(,"object":"chat.completion.chunk","created":)"
                       : R"(,"object":"text_completion","created":)";
  append_json(&prefix_, head.created_unix_s);
  prefix_ += R"(,"model":)";
  append_json_string(&prefix_, head.model);
  prefix_ += R"(,"system_fingerprint":null,"choices":[)";
}

void CompletionWriter::append_start(std::string* out, int choice, const Usage&) {
  if (!chat_) return;
  out->append(prefix_).append(R"({"index":)");
  append_json(out, int64_t{choice});
  out->append(
      R"(,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null})");
  close_chunk(out, nullptr);
}

void CompletionWriter::append_text(std::string* out, int choice, std::string_view text,
                                   const std::vector<ScoredToken>& tokens, int64_t* offset,
                                   const Ending& ending, const Usage* usage) {
  out->append(prefix_).append(R"({"index":)");
  append_json(out, int64_t{choice});
  if (!chat_) {
    out->append(R"(,"text":")");
    append_json_escaped(out, text);
    out->append(R"(","logprobs":)");
  } else if (text.empty() && ending.finish != FinishReason::kNone) {
    out->append(R"(,"delta":{},"logprobs":)");
  } else {
    out->append(R"(,"delta":{"content":")");
    append_json_escaped(out, text);
    out->append(R"("},"logprobs":)");
  }
  if (!logprobs_ || tokens.empty()) {
    out->append("null");
  } else if (chat_) {
    append_chat_logprobs(out, tokens);
  } else {
    append_text_logprobs(out, tokens, offset);
  }
  if (ending.finish == FinishReason::kNone) {
    out->append(R"(,"finish_reason":null})");
  } else {
    out->push_back(',');
    append_ending(out, ending);
    out->push_back('}');
  }
  close_chunk(out, usage);
}

void CompletionWriter::append_end(std::string* out, const Usage& usage) {
  if (with_usage_) {
    out->append(prefix_);
    close_chunk(out, &usage);
  }
  out->append("data: [DONE]\n\n");
}

void CompletionWriter::close_chunk(std::string* out, const Usage* usage) const {
  out->push_back(']');
  if (usage != nullptr) {
    out->append(R"(,"usage":)");
    append_usage(out, *usage);
  } else if (with_usage_) {
    out->append(R"(,"usage":null)");
  }
  out->append("}\n\n");
}

// No [DONE]: it is not done.
void CompletionWriter::append_error(std::string* out, const Status& error) {
  out->append("data: ").append(error_body(error)).append("\n\n");
}

}  // namespace sluice
