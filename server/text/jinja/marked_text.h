// MarkedText: text that remembers who wrote it.
//
//   MarkedText   | "<|im_start|>" template | "user" user | "\n" template | "…<|im_end|>…" user | …
//
// Every operation on text keeps the marks, so whatever a template does with a user's words, they
// are still the user's when the prompt is cut into control tokens and plain text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::jinja {

class MarkedText {
 public:
  struct Span {
    std::string text;  // never empty
    bool from_user;
  };

  MarkedText() = default;
  MarkedText(std::string_view text, bool from_user) { append(text, from_user); }

  void append(std::string_view text, bool from_user);
  void append(const MarkedText& other);

  // Neighbours differ in from_user.
  const std::vector<Span>& spans() const { return spans_; }
  size_t size() const { return size_; }  // bytes
  std::string flat() const;              // without marks
  bool has_user_text() const;

  // Bytes [begin, end), which are borders of code points.
  MarkedText slice(size_t begin, size_t end) const;
  // Each span's text changed by `change`.
  template <typename Change>
  MarkedText map(const Change& change) const {
    MarkedText result;
    for (const Span& span : spans_) result.append(change(span.text), span.from_user);
    return result;
  }

 private:
  std::vector<Span> spans_;
  size_t size_ = 0;
};

}  // namespace sluice::jinja
