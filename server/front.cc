// Names of requests and of the model.
#include "server/front.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "base/text.h"

namespace sluice {

std::string random_id() {
  std::random_device device;  // getrandom(2)
  std::string out;
  for (int word = 0; word < 4; ++word) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", device());
    out += text;
  }
  return out;
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out.push_back(c > ' ' && c < 0x7F ? c : '_');
  return out;
}

std::string request_id(std::string_view given) {
  return given.empty() ? random_id() : printable(given, kMaxRequestIdBytes);
}

Result<std::string> served_name(const ModelInfo& model, const std::string& asked) {
  if (asked.empty()) return model.names.front();
  if (std::find(model.names.begin(), model.names.end(), asked) != model.names.end()) return asked;
  constexpr size_t kMaxShown = 100;
  return Status(StatusCode::kNotFound,
                str("the model \"", printable(asked, kMaxShown), "\" is not served here; \"",
                    model.names.front(), "\" is"),
                "model");
}

}  // namespace sluice
