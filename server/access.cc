// Comparison of keys in constant time.
#include "server/access.h"

#include <algorithm>
#include <cctype>

namespace sluice {
namespace {

constexpr std::string_view kScheme = "bearer ";

// Looks at all of `given`, whatever it finds.
bool same_secret(std::string_view given, std::string_view secret) {
  unsigned difference = given.size() == secret.size() && !secret.empty() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^
                  static_cast<unsigned char>(secret.empty() ? 0 : secret[i % secret.size()]);
  }
  return difference == 0;
}

// The scheme's name is read without regard to case (RFC 9110, 11.1).
bool is_bearer(std::string_view authorization) {
  return authorization.size() > kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                    [](char wanted, unsigned char c) { return wanted == std::tolower(c); });
}

}  // namespace

Status ApiKeys::check(std::string_view authorization) const {
  if (keys_.empty()) return {};
  bool known = false;
  if (is_bearer(authorization)) {
    for (const std::string& key : keys_) {
      known |= same_secret(authorization.substr(kScheme.size()), key);
    }
  }
  if (known) return {};
  return {StatusCode::kUnauthenticated,
          "a valid API key is needed: send it as \"Authorization: Bearer KEY\""};
}

void AccessGate::replace(ApiKeys keys) {
  auto fresh = std::make_shared<const ApiKeys>(std::move(keys));
  const std::scoped_lock lock(mutex_);
  keys_ = std::move(fresh);
}

std::shared_ptr<const ApiKeys> AccessGate::current() const {
  const std::scoped_lock lock(mutex_);
  return keys_;
}

}  // namespace sluice
