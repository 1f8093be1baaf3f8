// ResponsesWriter: the answers of OpenAI's /v1/responses.
//
//   response.created, response.in_progress
//   response.output_item.added, response.content_part.added
//   response.output_text.delta ...
//   response.output_text.done, response.content_part.done, response.output_item.done
//   response.completed, or response.incomplete; response.failed instead of all that is left
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/openai/response_writer.h"

namespace sluice {

class ResponsesWriter final : public ResponseWriter {
 public:
  // The answer repeats some parameters of `call`.
  ResponsesWriter(ResponseHead head, const GenerateCall& call);

  std::string whole(const WholeResponse& response) override;
  void append_start(std::string* out, int choice, const Usage& usage) override;
  void append_news(std::string* out, const ChoiceNews& news) override;
  void append_end(std::string* out, const Usage& usage) override;
  void append_error(std::string* out, const Status& error) override;

 private:
  // The response so far. `status`: OpenAI's word; `output`: the items' JSON; null: not yet known.
  std::string response(std::string_view status, std::string_view output, const Usage* usage,
                       const Status* error) const;
  // The message, whole or as far as it has come.
  std::string message(std::string_view status) const;
  // The one content part of the message.
  std::string part(std::string_view text, std::string_view logprobs) const;
  // Keeps what the last events repeat.
  void keep(std::string_view text, std::string_view logprobs, const Ending& ending);
  // "event: TYPE\ndata: {"type":TYPE,"sequence_number":N", where its members follow.
  void open_event(std::string* out, std::string_view type);
  // As above, with "item_id", "output_index" and "content_index".
  void open_text_event(std::string* out, std::string_view type);
  void append_response_event(std::string* out, std::string_view type, const std::string& response);
  std::string_view end_status() const {
    return ending_.finish == FinishReason::kLength ? "incomplete" : "completed";
  }

  const ResponseHead head_;
  const std::string message_id_;
  std::string parameters_;  // the members that repeat the request's
  bool logprobs_;
  int64_t next_event_ = 0;
  std::string text_;    // so far
  std::string scores_;  // so far: the elements of the part's "logprobs"
  Ending ending_;
};

}  // namespace sluice
