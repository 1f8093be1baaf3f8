// Joining and cutting marked text.
#include "server/text/jinja/marked_text.h"

#include <algorithm>

namespace sluice::jinja {

void MarkedText::append(std::string_view text, bool from_user) {
  if (text.empty()) return;
  size_ += text.size();
  if (!spans_.empty() && spans_.back().from_user == from_user) {
    spans_.back().text += text;
  } else {
    spans_.push_back({std::string(text), from_user});
  }
}

void MarkedText::append(const MarkedText& other) {
  for (const Span& span : other.spans_) append(span.text, span.from_user);
}

std::string MarkedText::flat() const {
  std::string text;
  text.reserve(size_);
  for (const Span& span : spans_) text += span.text;
  return text;
}

bool MarkedText::has_user_text() const {
  return std::any_of(spans_.begin(), spans_.end(), [](const Span& span) { return span.from_user; });
}

MarkedText MarkedText::slice(size_t begin, size_t end) const {
  MarkedText result;
  size_t at = 0;
  for (const Span& span : spans_) {
    const size_t first = std::max(begin, at), last = std::min(end, at + span.text.size());
    if (first < last) {
      result.append(std::string_view(span.text).substr(first - at, last - first), span.from_user);
    }
    at += span.text.size();
  }
  return result;
}

}  // namespace sluice::jinja
