// The table StatusCode -> HTTP code, OpenAI's type and code.
#include "server/openai/error_body.h"

#include "base/check.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

struct Row {
  StatusCode status;
  int http;
  const char* type;
  const char* code;  // null: JSON's null
};

constexpr Row kTable[] = {
    {StatusCode::kInvalidArgument, 400, "invalid_request_error", nullptr},
    {StatusCode::kTooLong, 400, "invalid_request_error", "context_length_exceeded"},
    {StatusCode::kUnimplemented, 400, "invalid_request_error", "unsupported_parameter"},
    {StatusCode::kUnauthenticated, 401, "invalid_request_error", "invalid_api_key"},
    {StatusCode::kNotFound, 404, "invalid_request_error", "not_found"},
    {StatusCode::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded"},
    {StatusCode::kInternal, 500, "server_error", "internal_error"},
    {StatusCode::kUnavailable, 503, "server_error", "unavailable"},
    {StatusCode::kCancelled, 503, "server_error", "cancelled"},
    {StatusCode::kDeadlineExceeded, 504, "server_error", "timeout"},
};

const Row& row_of(StatusCode code) {
  for (const Row& row : kTable) {
    if (row.status == code) return row;
  }
  fail_check(__FILE__, __LINE__, "an error body for a status without error");
}

}  // namespace

int http_code(StatusCode code) { return row_of(code).http; }

std::string error_body(const Status& status) {
  const Row& row = row_of(status.code());
  const bool unknown_model = status.code() == StatusCode::kNotFound && status.field() == "model";
  const char* code = unknown_model ? "model_not_found" : row.code;
  std::string out = R"({"error":{"message":)";
  append_json_string(&out, status.message());
  out += R"(,"type":)";
  append_json_string(&out, row.type);
  out += R"(,"param":)";
  if (status.field().empty()) {
    out += "null";
  } else {
    append_json_string(&out, status.field());
  }
  out += R"(,"code":)";
  if (code == nullptr) {
    out += "null";
  } else {
    append_json_string(&out, code);
  }
  out += "}}";
  return out;
}

}  // namespace sluice
