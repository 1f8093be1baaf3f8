// check_call: cheap looks at every text of a call.
#include "server/call_checks.h"

#include <string>
#include <string_view>

#include "base/text.h"
#include "server/text/utf8.h"
#include "server/tools.h"

namespace sluice {
namespace {

Status check_utf8(std::string_view text, const std::string& field) {
  const auto offset = find_invalid_utf8(text);
  if (!offset) return {};
  return invalid_argument(
      str(field, " is not valid UTF-8: byte ", *offset, " is part of no character; send UTF-8"),
      field);
}

Status check_bytes(size_t bytes, size_t limit, const std::string& field) {
  if (bytes <= limit) return {};
  return invalid_argument(str(field, " has ", bytes, " bytes; the limit is ", limit), field);
}

Status check_messages(const std::vector<ChatMessage>& messages, const ServiceLimits& limits) {
  if (messages.empty()) {
    return invalid_argument("messages is empty; send at least one message", "messages");
  }
  if (messages.size() > limits.max_messages) {
    return invalid_argument(
        str("messages has ", messages.size(), " entries; the limit is ", limits.max_messages),
        "messages");
  }
  size_t bytes = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    bytes += message.role.size() + message.content.size() + message.name.size();
    const std::string field = str("messages[", i, "]");
    SLUICE_RETURN_IF_ERROR(check_utf8(message.role, field + ".role"));
    SLUICE_RETURN_IF_ERROR(check_utf8(message.content, field + ".content"));
    SLUICE_RETURN_IF_ERROR(check_utf8(message.name, field + ".name"));
  }
  return check_bytes(bytes, limits.max_prompt_bytes, "messages");
}

Status check_stops(const std::vector<std::string>& stops, const ServiceLimits& limits) {
  if (stops.size() > limits.max_stop) {
    return invalid_argument(
        str("stop has ", stops.size(), " strings; the limit is ", limits.max_stop), "stop");
  }
  for (const std::string& stop : stops) {
    if (stop.empty()) {
      return invalid_argument("stop holds an empty string; leave it out", "stop");
    }
    SLUICE_RETURN_IF_ERROR(check_bytes(stop.size(), limits.max_stop_bytes, "stop"));
    SLUICE_RETURN_IF_ERROR(check_utf8(stop, "stop"));
  }
  return {};
}

}  // namespace

Status check_call(const GenerateCall& call, const ServiceLimits& limits) {
  if (const auto* text = std::get_if<std::string>(&call.prompt)) {
    SLUICE_RETURN_IF_ERROR(check_bytes(text->size(), limits.max_prompt_bytes, "prompt"));
    SLUICE_RETURN_IF_ERROR(check_utf8(*text, "prompt"));
  } else if (const auto* messages = std::get_if<std::vector<ChatMessage>>(&call.prompt)) {
    SLUICE_RETURN_IF_ERROR(check_messages(*messages, limits));
  }
  SLUICE_RETURN_IF_ERROR(check_tools(call, limits.max_tools));
  SLUICE_RETURN_IF_ERROR(check_stops(call.stop, limits));
  SLUICE_RETURN_IF_ERROR(check_bytes(call.request_id.size(), limits.max_id_bytes, "request_id"));
  return check_bytes(call.cache_salt.size(), limits.max_id_bytes, "cache_salt");
}

}  // namespace sluice
