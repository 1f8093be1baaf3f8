// ResponsesWriter: the answers of OpenAI's /v1/responses.
//
//   response.created, response.in_progress
//   for each item (reasoning, a message, a call):
//     response.output_item.added; response.content_part.added, but of calls
//     response.output_text.delta ...    or reasoning_text or function_call_arguments
//     the same with .done; response.content_part.done; response.output_item.done
//   response.completed, or response.incomplete; response.failed instead of all that is left
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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
  enum class Item { kNone, kReasoning, kMessage, kCall };

  // The response so far, with the items that are done. `status`: OpenAI's word; null: not yet
  // known.
  std::string response(std::string_view status, const Usage* usage, const Status* error) const;
  // The open item, as far as it has come.
  std::string item(std::string_view status) const;
  // Its one content part, of `text` and `scores`; calls have none.
  std::string part(std::string_view text, std::string_view scores) const;

  // Begins an item, unless a message or reasoning goes on. `call`: of kCall.
  void open_item(std::string* out, Item kind, const ToolCallDelta* call = nullptr);
  void close_item(std::string* out, std::string_view status);
  // Closes the last one; an answer without any is an empty message.
  void end_items(std::string* out);
  // New text of the open item, and its tokens' scores.
  void append_delta(std::string* out, std::string_view text, std::string_view scores);

  // "event: TYPE\ndata: {"type":TYPE,"sequence_number":N,", where its members follow.
  void open_event(std::string* out, std::string_view type);
  // As above, with the open item's "item_id", "output_index" and, but of calls, "content_index".
  void open_item_event(std::string* out, std::string_view type);
  void append_item_event(std::string* out, std::string_view type, std::string_view status);
  void append_response_event(std::string* out, std::string_view type, const std::string& response);
  std::string_view end_status() const {
    return ending_.finish == FinishReason::kLength ? "incomplete" : "completed";
  }

  const ResponseHead head_;
  const std::string parameters_;  // the members that repeat the request's
  const bool logprobs_;
  int64_t next_event_ = 0;
  int64_t num_items_ = 0;
  std::string output_;  // the items that are done, as JSON
  Ending ending_;

  // Of the open item.
  Item open_ = Item::kNone;
  std::string item_id_;
  ToolCallDelta call_;
  std::string text_;    // so far; a call's arguments
  std::string scores_;  // so far: the elements of the part's "logprobs"
};

}  // namespace sluice
