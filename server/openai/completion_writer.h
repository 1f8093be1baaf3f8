// CompletionWriter: the answers of /v1/chat/completions and /v1/completions.
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
#include "server/openai/response_writer.h"

namespace sluice {

class CompletionWriter final : public ResponseWriter {
 public:
  // `with_usage`: chunks name a usage, null but in the last and where append_news is given one.
  CompletionWriter(const ResponseHead& head, bool logprobs, bool with_usage);

  std::string whole(const WholeResponse& response) override { return whole_response(response); }
  // A chat's first chunk of each choice: the role.
  void append_start(std::string* out, int choice, const Usage& usage) override;
  void append_news(std::string* out, const ChoiceNews& news) override;
  // The usage, if chunks name one, and [DONE].
  void append_end(std::string* out, const Usage& usage) override;
  void append_error(std::string* out, const Status& error) override;

 private:
  void close_chunk(std::string* out, const Usage* usage) const;

  bool chat_;
  bool logprobs_;
  bool with_usage_;
  std::string prefix_;  // up to the choices
};

}  // namespace sluice
