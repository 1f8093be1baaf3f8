// MessagesWriter: the answers of Anthropic's /v1/messages.
//
//   message_start
//   content_block_start, content_block_delta ..., content_block_stop; a block of thinking, one of
//   text, one for each call of a tool
//   message_delta: the stop reason and the usage
//   message_stop
#pragma once

#include <cstdint>
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
  enum class Block { kNone, kThinking, kText, kCall };

  // Begins the next block, `start` being its JSON, unless one of this kind is open.
  void open_block(std::string* out, Block kind, std::string_view start);
  void close_block(std::string* out);
  // A delta of the open block: {"type":TYPE,MEMBER:text}.
  void append_delta(std::string* out, std::string_view type, std::string_view member,
                    std::string_view text) const;
  void append_call(std::string* out, const ToolCallDelta& call);

  const ResponseHead head_;
  Block open_ = Block::kNone;
  int64_t num_blocks_ = 0;
  Ending ending_;
};

}  // namespace sluice
