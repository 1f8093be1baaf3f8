// One writer a protocol.
#include "server/openai/response_writer.h"

#include "server/openai/completion_writer.h"
#include "server/openai/messages_writer.h"
#include "server/openai/responses_writer.h"

namespace sluice {

std::unique_ptr<ResponseWriter> make_writer(const ApiRequest& request, const ResponseHead& head) {
  switch (request.protocol) {
    case Protocol::kResponses:
      return std::make_unique<ResponsesWriter>(head, request.call);
    case Protocol::kMessages:
      return std::make_unique<MessagesWriter>(head);
    case Protocol::kChat:
    case Protocol::kText:
      break;
  }
  return std::make_unique<CompletionWriter>(head, request.call.sampling.logprobs,
                                            request.include_usage);
}

}  // namespace sluice
