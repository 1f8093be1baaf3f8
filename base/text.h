// Text from values, for messages: str("prompt has ", n, " tokens"). GCC 12 has no <format>.
#pragma once

#include <sstream>
#include <string>

namespace sluice {

template <typename... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace sluice
