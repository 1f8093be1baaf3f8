// What a parser of a growing text holds back: the beginnings of markers, and white space.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/text/answer/bytes.h"

namespace sluice {

// Finds markers byte by byte. A marker begins with no white space.
class MarkerFinder {
 public:
  // Hands every byte of the text that can be part of no marker any more to `plain`; returns which
  // marker ends with `byte`, if one does. `plain` may change what `markers` holds.
  template <typename Markers, typename Plain>
  std::optional<size_t> feed(char byte, const Markers& markers, const Plain& plain) {
    match_ += byte;
    while (!match_.empty()) {
      bool begins = false;
      for (size_t i = 0; i < markers.size(); ++i) {
        if (markers[i].empty() || !markers[i].starts_with(match_)) continue;
        begins = true;
        if (markers[i].size() > match_.size()) continue;
        match_.clear();
        return i;
      }
      if (begins) break;
      const char first = match_.front();
      match_.erase(0, 1);
      plain(first);
    }
    return std::nullopt;
  }

  // The text ends here.
  template <typename Plain>
  void finish(const Plain& plain) {
    for (const char byte : std::exchange(match_, {})) plain(byte);
  }

 private:
  std::string match_;  // shorter than the longest marker
};

// Holds white space back until it is known whether something follows it.
class SpaceKeeper {
 public:
  static constexpr size_t kMaxHeldBytes = 256;  // more is text

  void add(char byte, std::string& out) {
    held_ += byte;
    if (!is_space_byte(byte) || held_.size() > kMaxHeldBytes) flush(out);
  }
  void flush(std::string& out) {
    out += held_;
    held_.clear();
  }
  void drop() { held_.clear(); }

 private:
  std::string held_;
};

}  // namespace sluice
