// One entry for the parsers of server/openai.
#include "http_bodies.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "server/openai/api_request.h"
#include "server/openai/error_body.h"
#include "server/text/json_text.h"
#include "server/text/json_value.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr int kMaxPrompts = 4;

void require(bool condition) {
  if (!condition) std::abort();
}

// A refusal names what is wrong, in a body that is JSON whatever the client's bytes were.
void check(const Status& status) {
  if (status.ok()) return;
  require(!status.message().empty() && http_code(status.code()) == 400);
  const Result<JsonValue> body = JsonValue::parse(error_body(status));
  require(body.ok() && body->find("error") != nullptr);
}

void check(const Result<ApiRequest>& request) {
  check(request.status());
  if (request.ok()) require(!request->prompts.empty() && request->prompts.size() <= kMaxPrompts);
}

void write_and_read(std::string_view bytes) {
  std::string text;
  append_json_string(&text, bytes);
  const Result<JsonValue> parsed = JsonValue::parse(text);
  require(parsed.ok() && *parsed->as_string() == to_valid_utf8(bytes));
}

}  // namespace

void read_http_body(std::span<const std::byte> input) {
  if (input.empty()) return;
  const std::string_view body(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  switch (std::to_integer<char>(input[0])) {
    case 'c':
      return check(parse_chat_request(body, {}));
    case 't':
      return check(parse_completion_request(body, {}, kMaxPrompts));
    case 'r':
      return check(parse_responses_request(body, {}));
    case 'm':
      check(parse_count_request(body).status());
      return check(parse_messages_request(body, {}));
    case 'k':
      return check(parse_tokenize_request(body).status());
    case 'd':
      return check(parse_detokenize_request(body).status());
    case 's':
      return write_and_read(body);
    default:
      return;
  }
}

}  // namespace sluice
