// The replies of the generating endpoints: one whole response, or a stream of events.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "server/http/http_handler.h"
#include "server/http/request_record.h"
#include "server/metrics.h"
#include "server/openai/api_request.h"
#include "server/openai/response.h"
#include "server/openai/response_writer.h"
#include "server/service.h"

namespace sluice {

// The generations of one request: one a prompt, each with n choices. Choices are numbered through.
struct GenerationJob {
  ApiRequest request;
  ResponseHead head;
  std::unique_ptr<ResponseWriter> writer;
  std::vector<std::unique_ptr<Generation>> generations;
  std::vector<std::string> echoes;  // with echo: the text of each prompt
  std::unique_ptr<RequestRecord> record;
};

// `service` and `metrics` must outlive the reply. Destroying it cancels what still runs.
std::unique_ptr<PendingReply> make_whole_reply(GenerationJob job, const Service& service,
                                               Metrics& metrics);
std::unique_ptr<PendingReply> make_stream_reply(GenerationJob job, const Service& service,
                                                Metrics& metrics);

HttpResponse json_response(std::string body, int code = 200);
// The HTTP response of a failure, in the words of `protocol`, with the header fields that clients
// act on.
HttpResponse error_response(const Status& status, Protocol protocol = Protocol::kChat);

}  // namespace sluice
