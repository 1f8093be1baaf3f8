// MessagesWriter: the answers of Anthropic's /v1/messages.
//
//   message_start
//   content_block_start, content_block_delta ..., content_block_stop
//   message_delta: the stop reason and the usage
//   message_stop
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/openai/response_writer.h"

namespace sluice {

class MessagesWriter final : public ResponseWriter {
 public:
  explicit MessagesWriter(ResponseHead head) : head_(std::move(head)) {}

  std::string whole(const WholeResponse& response) override;
  void append_start(std::string* out, int choice, const Usage& usage) override;
  void append_news(std::string* out, const ChoiceNews& news) override;
  void append_end(std::string* out, const Usage& usage) override;
  void append_error(std::string* out, const Status& error) override;

 private:
  const ResponseHead head_;
  Ending ending_;
};

}  // namespace sluice
