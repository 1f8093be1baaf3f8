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

// What is new in one choice.
struct ChoiceNews {
  int choice = 0;
  // In this order; what comes in another order is news of its own.
  std::string_view reasoning{}, text{};
  const std::vector<ToolCallDelta>& calls;
  const std::vector<ScoredToken>& tokens;  // if logprobs were asked for
  int64_t* offset = nullptr;               // the choice's place for append_text_logprobs
  Ending ending{};                         // if it is one
  const Usage* usage = nullptr;  // so far; null where the client did not ask for it in every event
};

// One request's writer. Not thread-safe. A stream is written in this order: each choice's
// append_start, append_news any number of times, the last one with the choice's ending; then
// append_end, or append_error at any point.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  virtual std::string whole(const WholeResponse& response) = 0;

  // Before a choice's first news. `usage`: so far.
  virtual void append_start(std::string* out, int choice, const Usage& usage) = 0;
  virtual void append_news(std::string* out, const ChoiceNews& news) = 0;
  virtual void append_end(std::string* out, const Usage& usage) = 0;
  // Ends the stream: the generation has failed.
  virtual void append_error(std::string* out, const Status& error) = 0;
};

// The writer for `request`'s protocol.
std::unique_ptr<ResponseWriter> make_writer(const ApiRequest& request, const ResponseHead& head);

}  // namespace sluice
