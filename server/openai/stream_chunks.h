// StreamChunks: the server-sent events of one streamed response, appended to a buffer.
//
//   data: {"id":...,"created":...,"model":...,"choices":[{"index":0,"delta":{"content":"Hi"},...}]}
//         +------------ the same in every chunk ------------+
//
// The common part is built once, so that a token costs one append and the escaping of its text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/openai/response.h"

namespace sluice {

class StreamChunks {
 public:
  // `with_usage`: chunks name a usage, null but in the last and where `usage` below is given.
  StreamChunks(const ResponseHead& head, bool logprobs, bool with_usage);

  // A chat's first chunk of each choice: the role.
  void append_role(std::string* out, int choice) const;
  // New text of a choice, its tokens' scores if logprobs were asked for, and its end, if it is one.
  // `offset` is the choice's place for append_text_logprobs. `usage`: so far, or null.
  void append_text(std::string* out, int choice, std::string_view text,
                   const std::vector<ScoredToken>& tokens, int64_t* offset, const Ending& ending,
                   const Usage* usage) const;
  void append_total_usage(std::string* out, const Usage& usage) const;
  static void append_error(std::string* out, const Status& error);
  static void append_done(std::string* out);

 private:
  void append_end(std::string* out, const Usage* usage) const;

  bool chat_;
  bool logprobs_;
  bool with_usage_;
  std::string prefix_;  // up to the choices
};

}  // namespace sluice
