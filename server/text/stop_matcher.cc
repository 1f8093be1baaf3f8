// StopMatcher: one automaton a stop string, and the text that none of them has ruled out.
#include "server/text/stop_matcher.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace sluice {

StopMatcher::StopMatcher(const std::vector<std::string>& stops, bool include_stop)
    : include_stop_(include_stop) {
  for (const std::string& stop : stops) {
    SLUICE_CHECK(!stop.empty() && stop.size() <= std::numeric_limits<uint16_t>::max());
    Automaton automaton{stop, std::vector<uint16_t>(stop.size() + 1, 0), 0};
    for (size_t i = 1; i < stop.size(); ++i) {
      size_t border = automaton.fallback[i];
      while (border > 0 && stop[border] != stop[i]) border = automaton.fallback[border];
      automaton.fallback[i + 1] = static_cast<uint16_t>(stop[border] == stop[i] ? border + 1 : 0);
    }
    automata_.push_back(std::move(automaton));
  }
}

size_t StopMatcher::advance(Automaton& automaton, char byte) {
  const std::string& stop = automaton.stop;
  size_t& state = automaton.state;
  if (state == stop.size()) state = automaton.fallback[state];  // a match that did not count
  while (state > 0 && stop[state] != byte) state = automaton.fallback[state];
  if (stop[state] == byte) ++state;
  return state;
}

bool StopMatcher::push(std::string_view added, bool may_stop, std::string& text) {
  SLUICE_CHECK(matched_.empty());
  if (automata_.empty()) {
    text += added;
    return false;
  }
  size_t end = held_.size();
  held_ += added;
  for (const char byte : added) {
    ++end;
    const std::string* longest = nullptr;
    for (Automaton& automaton : automata_) {
      const bool ends_here = advance(automaton, byte) == automaton.stop.size();
      if (ends_here && (longest == nullptr || automaton.stop.size() > longest->size())) {
        longest = &automaton.stop;
      }
    }
    if (longest == nullptr || !may_stop) continue;
    matched_ = *longest;
    text.append(held_, 0, include_stop_ ? end : end - longest->size());
    held_.clear();
    return true;
  }
  size_t hold = 0;
  for (const Automaton& automaton : automata_) {
    // A whole stop that did not count is text; what it ends with may begin another one.
    const bool whole = automaton.state == automaton.stop.size();
    hold = std::max(hold, whole ? automaton.fallback[automaton.state] : automaton.state);
  }
  if (include_stop_) hold = 0;
  text.append(held_, 0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return false;
}

void StopMatcher::finish(std::string& text) {
  text += held_;
  held_.clear();
}

}  // namespace sluice
