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

void CompletionWriter::append_news(std::string* out, const ChoiceNews& news) {
  const bool ends = news.ending.finish != FinishReason::kNone;
  out->append(prefix_).append(R"({"index":)");
  append_json(out, int64_t{news.choice});
  if (!chat_) {
    out->append(R"(,"text":")");
    append_json_escaped(out, news.text);
    out->append(R"(","logprobs":)");
  } else {
    const bool nothing = news.reasoning.empty() && news.text.empty() && news.calls.empty();
    out->append(R"(,"delta":{)");
    append_answer(out, news.reasoning, news.text, news.calls, /*streamed=*/true);
    out->append(nothing && !ends ? R"("content":""},"logprobs":)" : R"(},"logprobs":)");
  }
  if (!logprobs_ || news.tokens.empty()) {
    out->append("null");
  } else if (chat_) {
    append_chat_logprobs(out, news.tokens);
  } else {
    append_text_logprobs(out, news.tokens, news.offset);
  }
  if (!ends) {
    out->append(R"(,"finish_reason":null})");
  } else {
    out->push_back(',');
    append_ending(out, news.ending);
    out->push_back('}');
  }
  close_chunk(out, news.usage);
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
