// Error bodies, from Status: one table for every endpoint and for errors inside streams.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "server/openai/protocol.h"

namespace sluice {

// The HTTP status of a failure.
int http_code(StatusCode code);
// OpenAI's {"error":{"message":...,"type":...,"param":...,"code":...}}, or Anthropic's
// {"type":"error","error":{"type":...,"message":...}}.
std::string error_body(const Status& status, Protocol protocol = Protocol::kChat);
// Of a request that is refused for its form, before it means anything. `code`: OpenAI's.
std::string refusal_body(std::string_view message, std::string_view code,
                         Protocol protocol = Protocol::kChat);

}  // namespace sluice
