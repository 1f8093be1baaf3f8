// ResponseWriter: how one protocol writes the answer to a request, whole or as a stream's events.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/openai/api_request.h"
#include "server/openai/response.h"

namespace sluice {

// One request's writer. Not thread-safe. A stream is written in this order: each choice's
// append_start, append_text any number of times, the last one with the choice's ending; then
// append_end, or append_error at any point.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  virtual std::string whole(const WholeResponse& response) = 0;

  // Before a choice's first text. `usage`: so far.
  virtual void append_start(std::string* out, int choice, const Usage& usage) = 0;
  // New text of a choice, its tokens' scores if logprobs were asked for, and its end, if it is one.
  // `offset` is the choice's place for append_text_logprobs. `usage`: so far, or null where the
  // client did not ask for it in every event.
  virtual void append_text(std::string* out, int choice, std::string_view text,
                           const std::vector<ScoredToken>& tokens, int64_t* offset,
                           const Ending& ending, const Usage* usage) = 0;
  virtual void append_end(std::string* out, const Usage& usage) = 0;
  // Ends the stream: the generation has failed.
  virtual void append_error(std::string* out, const Status& error) = 0;
};

// The writer for `request`'s protocol.
std::unique_ptr<ResponseWriter> make_writer(const ApiRequest& request, const ResponseHead& head);

}  // namespace sluice
