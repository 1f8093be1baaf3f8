// ControlTokens: the control tokens of a vocabulary by their spellings.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/types.h"

namespace sluice {

class ControlTokens {
 public:
  // Of two tokens of one spelling the first counts.
  void add(const std::string& spelling, TokenId id) {
    ids_.emplace(spelling, id);
    lengths_.insert(spelling.size());
  }

  std::optional<TokenId> find(std::string_view spelling) const {
    const auto found = ids_.find(std::string(spelling));
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  // The longest one spelled at the start of `text`, if any, and its length.
  std::optional<TokenId> at(std::string_view text, size_t* length) const {
    for (const size_t candidate : lengths_) {
      if (candidate > text.size()) continue;
      if (const auto id = find(text.substr(0, candidate))) {
        *length = candidate;
        return id;
      }
    }
    return std::nullopt;
  }

 private:
  std::unordered_map<std::string, TokenId> ids_;
  std::set<size_t, std::greater<>> lengths_;  // of the spellings
};

}  // namespace sluice
