// The routes of OpenAI's API and of operation.
#include "server/http/api_handler.h"

#include <algorithm>
#include <cctype>

#include "base/log.h"
#include "base/text.h"
#include "server/front.h"
#include "server/http/openapi.h"
#include "server/http/page.h"
#include "server/openai/error_body.h"
#include "server/openai/response.h"
#include "server/text/json_text.h"
#include "server/version.h"

namespace sluice {
namespace {

constexpr size_t kMaxShownFields = 8;
constexpr size_t kMaxShownField = 64;
constexpr std::chrono::seconds kWarningPeriod{1};
constexpr std::string_view kModelPath = "/v1/models/{id}";
constexpr std::string_view kModelPrefix = kModelPath.substr(0, kModelPath.find('{'));

// application/json, with or without parameters, and its kin; absent is taken for it. What a browser
// may send across sites without asking (forms, text/plain) is refused.
bool is_json(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return type.empty() || type == "application/json" ||
         (type.starts_with("application/") && type.ends_with("+json"));
}

const char* id_prefix(Protocol protocol) {
  switch (protocol) {
    case Protocol::kChat:
      return "chatcmpl-";
    case Protocol::kResponses:
      return "resp_";
    case Protocol::kMessages:
      return "msg_";
    case Protocol::kText:
      break;
  }
  return "cmpl-";
}

}  // namespace

struct ApiHandler::Route {
  RouteInfo info;
  HttpReply (ApiHandler::*answer)(const HttpRequest&, Record&);
};

const std::vector<ApiHandler::Route>& ApiHandler::routes() {
  static constexpr Protocol kAnthropic = Protocol::kMessages;
  static const std::vector<Route> table = {
      {{"POST", "/v1/chat/completions", "Answers a conversation", "ChatRequest", "Chat"},
       &ApiHandler::chat},
      {{"POST", "/v1/completions", "Goes on with a text", "CompletionRequest", "Completion"},
       &ApiHandler::completion},
      {{"POST", "/v1/responses", "OpenAI's newer conversations", "ResponsesRequest", "Response"},
       &ApiHandler::respond},
      {{"POST", "/v1/messages", "Anthropic's conversations", "MessagesRequest", "MessageAnswer",
        false, kAnthropic},
       &ApiHandler::message},
      {{"POST", "/v1/messages/count_tokens", "Counts the tokens of a message's prompt",
        "CountRequest", "TokenCount", false, kAnthropic},
       &ApiHandler::count_tokens},
      {{"GET", "/v1/models", "The served model, under each of its names", "", "ModelList"},
       &ApiHandler::models},
      {{"GET", kModelPath, "The served model", "", "Model"}, &ApiHandler::model},
      {{"POST", "/tokenize", "The tokens of a prompt", "TokenizeRequest", "Tokens"},
       &ApiHandler::tokenize},
      {{"POST", "/detokenize", "The text of tokens", "DetokenizeRequest", "Text"},
       &ApiHandler::detokenize},
      {{"GET", "/health", "Can requests be served now?", "", "Health", true}, &ApiHandler::ready},
      {{"GET", "/health/live", "Does the process answer?", "", "Health", true}, &ApiHandler::live},
      {{"GET", "/health/ready", "As /health", "", "Health", true}, &ApiHandler::ready},
      {{"GET", "/ping", "As /health", "", "Health", true}, &ApiHandler::ready},
      {{"POST", "/ping", "As /health", "", "Health", true}, &ApiHandler::ready},
      {{"GET", "/version", "Version and commit", "", "Version"}, &ApiHandler::show_version},
      {{"GET", "/metrics", "Prometheus's text", "", "text/plain"}, &ApiHandler::scrape},
      {{"GET", "/openapi.json", "This document", "", "Document"}, &ApiHandler::describe},
      {{"GET", "/", "A page: a conversation, and live numbers", "", "text/html", true},
       &ApiHandler::home},
      {{"GET", "/docs", "This document, to be read", "", "text/html", true}, &ApiHandler::docs},
  };
  return table;
}

ApiHandler::ApiHandler(Service& service, Metrics& metrics, const HttpOptions& options)
    : service_(service), metrics_(metrics), options_(options) {}

HttpReply ApiHandler::handle(HttpRequest request) {
  std::string id = request_id(request.request_id);
  auto record = std::make_unique<RequestRecord>(metrics_, options_.request_log,
                                                printable(request.method, 16), id);
  record->add_header("X-Request-Id", id);
  TraceContext trace = read_trace_context(request.traceparent);
  if (!trace.empty()) record->add_header("Traceparent", trace.header());
  record->set_trace(std::move(trace));
  allow_origin(request, *record);
  const auto headers = record->headers();  // the record may go with the reply
  HttpReply reply;
  try {
    reply = answer(request, record);
  } catch (const std::exception& error) {  // here, so that the record has the code
    log_error(str("http: a request failed: ", error.what()));
    reply = error_response({StatusCode::kInternal, error.what()});
  }
  if (auto* response = std::get_if<HttpResponse>(&reply)) {
    response->headers.insert(response->headers.end(), headers.begin(), headers.end());
    record->set_code(response->code);
  }
  return reply;
}

// The header fields by which a browser lets a web page of an allowed origin read the response.
void ApiHandler::allow_origin(const HttpRequest& request, RequestRecord& record) const {
  const std::vector<std::string>& allowed = options_.allowed_origins;
  if (request.origin.empty() || allowed.empty()) return;
  const bool any = std::find(allowed.begin(), allowed.end(), "*") != allowed.end();
  const bool listed = std::find(allowed.begin(), allowed.end(), request.origin) != allowed.end();
  if (!any) record.add_header("Vary", "Origin");
  if (!any && !listed) return;
  record.add_header("Access-Control-Allow-Origin", any ? "*" : request.origin);
  record.add_header("Access-Control-Expose-Headers", "X-Request-Id, Traceparent, Retry-After");
  if (request.method != "OPTIONS") return;
  record.add_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  record.add_header(
      "Access-Control-Allow-Headers",
      "Authorization, X-Api-Key, Anthropic-Version, Content-Type, X-Request-Id, Traceparent");
  record.add_header("Access-Control-Max-Age", "600");
}

HttpResponse ApiHandler::refuse(int code, const std::string& why) {
  RequestRecord record(metrics_, options_.request_log, "-", "-");
  record.set_code(code);
  if (code == http_code(StatusCode::kUnavailable)) {
    return error_response({StatusCode::kUnavailable, why});
  }
  if (code == http_code(StatusCode::kInternal)) {
    return error_response({StatusCode::kInternal, why});
  }
  return json_response(refusal_body(why, "bad_request"), code);
}

HttpReply ApiHandler::answer(const HttpRequest& request, Record& record) {
  const std::string_view sent = request.method;
  const std::string_view method = sent == "HEAD" ? "GET" : sent;
  std::string allowed;
  Protocol protocol = Protocol::kChat;
  for (const Route& route : routes()) {
    const RouteInfo& info = route.info;
    const bool is_model = info.path == kModelPath && request.path.starts_with(kModelPrefix) &&
                          request.path.size() > kModelPrefix.size();
    if (!is_model && info.path != request.path) continue;
    record->set_route(info.path);
    if (info.method == method) {
      const Status access = options_.access->check(request.authorization);
      if (!info.open && !access.ok()) return error_response(access, info.protocol);
      if (method == "POST" && !request.body.empty() && !is_json(request.content_type)) {
        return json_response(refusal_body("the Content-Type must be application/json",
                                          "bad_content_type", info.protocol),
                             415);
      }
      return (this->*route.answer)(request, record);
    }
    protocol = info.protocol;
    if (!allowed.empty()) allowed += ", ";
    allowed += info.method == "GET" ? "GET, HEAD" : info.method;
  }
  if (allowed.empty()) {
    return error_response({StatusCode::kNotFound, "there is no " + printable(request.path, 200)});
  }
  HttpResponse response =
      json_response(refusal_body("the method is not allowed; allowed: " + allowed,
                                 "method_not_allowed", protocol),
                    405);
  if (request.method == "OPTIONS") response = json_response({}, 204);
  response.headers.emplace_back("Allow", allowed + ", OPTIONS");
  return response;
}

HttpReply ApiHandler::chat(const HttpRequest& request, Record& record) {
  return generate(parse_chat_request(request.body, service_.default_sampling()), Protocol::kChat,
                  record);
}

HttpReply ApiHandler::completion(const HttpRequest& request, Record& record) {
  return generate(
      parse_completion_request(request.body, service_.default_sampling(), options_.max_prompts),
      Protocol::kText, record);
}

HttpReply ApiHandler::respond(const HttpRequest& request, Record& record) {
  return generate(parse_responses_request(request.body, service_.default_sampling()),
                  Protocol::kResponses, record);
}

HttpReply ApiHandler::message(const HttpRequest& request, Record& record) {
  return generate(parse_messages_request(request.body, service_.default_sampling()),
                  Protocol::kMessages, record);
}

HttpReply ApiHandler::generate(Result<ApiRequest> parsed, Protocol protocol, Record& record) {
  const auto refused = [protocol](const Status& why) { return error_response(why, protocol); };
  if (!parsed.ok()) return refused(parsed.status());
  GenerationJob job;
  job.request = std::move(parsed).value();
  ApiRequest& request = job.request;
  Result<std::string> name = served_name(service_.model(), request.model);
  if (!name.ok()) return refused(name.status());
  warn_of_ignored(request.ignored_fields);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  job.head = {.chat = protocol == Protocol::kChat,
              .id = id_prefix(protocol) + random_id(),
              .created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
              .model = name.value()};
  job.writer = make_writer(request, job.head);
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    GenerateCall call = request.call;
    call.prompt = std::move(request.prompts[i]);
    call.request_id = request.prompts.size() == 1 ? job.head.id : str(job.head.id, "-", i);
    const std::string* text = std::get_if<std::string>(&call.prompt);
    std::string echo = request.echo && text != nullptr ? *text : std::string();
    const bool echo_ids = request.echo && text == nullptr;
    Result<std::unique_ptr<Generation>> generation = service_.generate(std::move(call));
    // Those of the prompts before are cancelled with the job.
    if (!generation.ok()) return refused(generation.status());
    if (echo_ids) {
      Result<std::string> decoded = service_.detokenize(generation.value()->prompt_tokens());
      if (!decoded.ok()) return refused(decoded.status());
      echo = std::move(decoded).value();
    }
    job.echoes.push_back(std::move(echo));
    job.generations.push_back(std::move(generation).value());
  }
  job.record = std::move(record);
  return request.stream ? make_stream_reply(std::move(job), service_, metrics_)
                        : make_whole_reply(std::move(job), service_, metrics_);
}

HttpReply ApiHandler::models(const HttpRequest&, Record&) {
  return json_response(model_list(service_.model()));
}

HttpReply ApiHandler::model(const HttpRequest& request, Record&) {
  Result<std::string> name =
      served_name(service_.model(), request.path.substr(kModelPrefix.size()));
  if (!name.ok()) return error_response(name.status());
  return json_response(model_card(service_.model(), name.value()));
}

HttpReply ApiHandler::live(const HttpRequest&, Record&) {
  return json_response(R"({"status":"live"})");
}

HttpReply ApiHandler::ready(const HttpRequest&, Record&) {
  switch (service_.readiness()) {
    case Readiness::kReady:
      return json_response(R"({"status":"ready"})");
    case Readiness::kLoading:
      return json_response(R"({"status":"loading"})", 503);
    case Readiness::kDraining:
      return json_response(R"({"status":"draining"})", 503);
    case Readiness::kStalled:
      break;
  }
  return json_response(R"({"status":"stalled"})", 503);
}

HttpReply ApiHandler::show_version(const HttpRequest&, Record&) {
  return json_response(
      str(R"({"version":")", version(), R"(","commit":")", version_commit(), "\"}"));
}

HttpReply ApiHandler::describe(const HttpRequest&, Record&) {
  std::vector<RouteInfo> infos;
  for (const Route& route : routes()) infos.push_back(route.info);
  return json_response(openapi_document(infos));
}

HttpReply ApiHandler::home(const HttpRequest&, Record&) { return page_response(home_page()); }

HttpReply ApiHandler::docs(const HttpRequest&, Record&) { return page_response(docs_page()); }

HttpReply ApiHandler::scrape(const HttpRequest&, Record&) {
  HttpResponse response = json_response(metrics_.scrape(service_.engine_stats()));
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

void ApiHandler::warn_of_ignored(const std::vector<std::string>& fields) {
  if (fields.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  {
    const std::scoped_lock lock(warning_mutex_);
    if (now < next_warning_) return;
    next_warning_ = now + kWarningPeriod;
  }
  std::string names;
  for (size_t i = 0; i < fields.size() && i < kMaxShownFields; ++i) {
    names += (i == 0 ? "" : ", ") + printable(fields[i], kMaxShownField);
  }
  log_warning("http: ignored fields that are not known: " + names);
}

}  // namespace sluice
