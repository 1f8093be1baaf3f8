// The table StatusCode -> HTTP code, OpenAI's type and code, Anthropic's type.
#include "server/openai/error_body.h"

#include "base/check.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

struct Row {
  StatusCode status;
  int http;
  const char* type;
  const char* code;  // empty: JSON's null
  const char* anthropic;
};

constexpr const char* kInvalid = "invalid_request_error";

constexpr Row kTable[] = {
    {StatusCode::kInvalidArgument, 400, kInvalid, "", kInvalid},
    {StatusCode::kTooLong, 400, kInvalid, "context_length_exceeded", kInvalid},
    {StatusCode::kUnimplemented, 400, kInvalid, "unsupported_parameter", kInvalid},
    {StatusCode::kUnauthenticated, 401, kInvalid, "invalid_api_key", "authentication_error"},
    {StatusCode::kNotFound, 404, kInvalid, "not_found", "not_found_error"},
    {StatusCode::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded",
     "rate_limit_error"},
    {StatusCode::kInternal, 500, "server_error", "internal_error", "api_error"},
    {StatusCode::kUnavailable, 503, "server_error", "unavailable", "overloaded_error"},
    {StatusCode::kCancelled, 503, "server_error", "cancelled", "api_error"},
    {StatusCode::kDeadlineExceeded, 504, "server_error", "timeout", "timeout_error"},
};

const Row& row_of(StatusCode code) {
  for (const Row& row : kTable) {
    if (row.status == code) return row;
  }
  fail_check(__FILE__, __LINE__, "an error body for a status without error");
}

std::string openai_body(std::string_view message, std::string_view type, std::string_view param,
                        std::string_view code) {
  std::string out = R"({"error":{"message":)";
  append_json_string(&out, message);
  out += R"(,"type":)";
  append_json_string(&out, type);
  const auto optional = [&out](std::string_view value) {
    if (value.empty()) {
      out += "null";
    } else {
      append_json_string(&out, value);
    }
  };
  out += R"(,"param":)";
  optional(param);
  out += R"(,"code":)";
  optional(code);
  return out += "}}";
}

std::string anthropic_body(std::string_view message, std::string_view type) {
  std::string out = R"({"type":"error","error":{"type":)";
  append_json_string(&out, type);
  out += R"(,"message":)";
  append_json_string(&out, message);
  return out += "}}";
}

}  // namespace

int http_code(StatusCode code) { return row_of(code).http; }

std::string error_body(const Status& status, Protocol protocol) {
  const Row& row = row_of(status.code());
  if (protocol == Protocol::kMessages) return anthropic_body(status.message(), row.anthropic);
  const bool unknown_model = status.code() == StatusCode::kNotFound && status.field() == "model";
  return openai_body(status.message(), row.type, status.field(),
                     unknown_model ? "model_not_found" : row.code);
}

std::string refusal_body(std::string_view message, std::string_view code, Protocol protocol) {
  if (protocol == Protocol::kMessages) return anthropic_body(message, kInvalid);
  return openai_body(message, kInvalid, {}, code);
}

}  // namespace sluice
