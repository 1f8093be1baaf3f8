// The steps of normalising.
#include "server/text/hf/normalizer.h"

#include <utility>

namespace sluice {

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const NormalizerStep& step : steps_) result = step(std::move(result));
  return result;
}

NormalizerStep unicode_form_step(UnicodeForm form) {
  return [form](std::string text) { return to_form(text, form); };
}

NormalizerStep lowercase_step() {
  return [](std::string text) { return to_lower(text); };
}

NormalizerStep strip_marks_step() {
  return [](std::string text) { return without_marks(text); };
}

NormalizerStep strip_step(bool left, bool right) {
  return [left, right](std::string text) {
    if (left) text.erase(0, leading_spaces(text));
    if (right) text.resize(text.size() - trailing_spaces(text));
    return text;
  };
}

NormalizerStep prepend_step(std::string prefix) {
  return [prefix = std::move(prefix)](std::string text) {
    return text.empty() ? text : prefix + text;
  };
}

NormalizerStep replace_step(std::string from, std::string to) {
  return [from = std::move(from), to = std::move(to)](std::string text) {
    return replace_all(text, from, to);
  };
}

NormalizerStep replace_step(Regex from, std::string to) {
  return [from = std::move(from), to = std::move(to)](std::string text) {
    std::vector<Span> matches;
    Regex::Matcher(from).find_all(text, matches);
    std::string result;
    size_t at = 0;
    for (const Span& match : matches) {
      result.append(text, at, match.begin - at);
      result += to;
      at = match.end;
    }
    result.append(text, at);
    return result;
  };
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  for (size_t found = text.find(from); found != std::string_view::npos; found = text.find(from)) {
    result += text.substr(0, found);
    result += to;
    text.remove_prefix(found + from.size());
  }
  result += text;
  return result;
}

}  // namespace sluice
