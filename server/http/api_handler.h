// ApiHandler: the routes. Parses what HttpServer read, asks the Service, and makes replies.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/generation_reply.h"
#include "server/http/http_frontend.h"
#include "server/http/http_handler.h"
#include "server/http/request_record.h"
#include "server/metrics.h"
#include "server/service.h"

namespace sluice {

class ApiHandler final : public HttpHandler {
 public:
  // `service` and `metrics` must outlive the handler and every reply that it made.
  ApiHandler(Service& service, Metrics& metrics, const HttpOptions& options);

  HttpReply handle(HttpRequest request) override;
  HttpResponse refuse(int code, const std::string& why) override;

 private:
  using Record = std::unique_ptr<RequestRecord>;
  struct Route;
  static const std::vector<Route>& routes();

  void allow_origin(const HttpRequest& request, RequestRecord& record) const;
  HttpReply answer(const HttpRequest& request, Record& record);
  HttpReply chat(const HttpRequest& request, Record& record);
  HttpReply completion(const HttpRequest& request, Record& record);
  HttpReply respond(const HttpRequest& request, Record& record);
  HttpReply message(const HttpRequest& request, Record& record);
  HttpReply count_tokens(const HttpRequest& request, Record& record);
  HttpReply generate(Result<ApiRequest> parsed, Protocol protocol, Record& record);
  HttpReply tokenize(const HttpRequest& request, Record& record);
  HttpReply detokenize(const HttpRequest& request, Record& record);
  HttpReply models(const HttpRequest& request, Record& record);
  HttpReply model(const HttpRequest& request, Record& record);
  HttpReply live(const HttpRequest& request, Record& record);
  HttpReply ready(const HttpRequest& request, Record& record);
  HttpReply show_version(const HttpRequest& request, Record& record);
  HttpReply describe(const HttpRequest& request, Record& record);
  HttpReply home(const HttpRequest& request, Record& record);
  HttpReply docs(const HttpRequest& request, Record& record);
  HttpReply scrape(const HttpRequest& request, Record& record);
  void warn_of_ignored(const std::vector<std::string>& fields);

  Service& service_;
  Metrics& metrics_;
  const HttpOptions options_;
  std::mutex warning_mutex_;
  std::chrono::steady_clock::time_point next_warning_;  // one line about ignored fields a second
};

}  // namespace sluice
