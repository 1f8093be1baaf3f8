// Cutting, joining and changing text without losing who wrote it.
#include "server/text/jinja/text_ops.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/text.h"
#include "server/text/hf/unicode.h"

namespace sluice::jinja {
namespace {

size_t last_code_point(std::string_view text) {
  size_t size = 1;
  while (size < text.size() && (text[text.size() - size] & 0xC0) == 0x80) ++size;
  return size;
}

std::vector<std::pair<size_t, size_t>> split_spaces(std::string_view text, int64_t most,
                                                    bool from_right) {
  std::vector<std::pair<size_t, size_t>> words;
  for (size_t at = 0; at < text.size();) {
    const size_t size = code_point_offset(text.substr(at), 1);
    const bool space = is_python_space(text.substr(at, size));
    const bool continues = !words.empty() && words.back().second == at;
    if (!space && continues) words.back().second = at + size;
    if (!space && !continues) words.emplace_back(at, at + size);
    at += size;
  }
  const auto limit = static_cast<size_t>(most) + 1;
  if (most < 0 || words.size() <= limit) return words;
  if (from_right) {  // the first part keeps the spaces before it, as the last one does otherwise
    const size_t words_end = words[words.size() - limit].second;
    words.erase(words.begin(), words.end() - static_cast<std::ptrdiff_t>(limit));
    words.front() = {0, words_end};
  } else {
    words.resize(limit);
    words.back().second = text.size();
  }
  return words;
}

std::vector<std::pair<size_t, size_t>> split_at(std::string_view text, std::string_view separator,
                                                int64_t most, bool from_right) {
  std::vector<std::pair<size_t, size_t>> parts;
  if (from_right) {
    size_t end = text.size();
    while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
      const size_t found = text.substr(0, end).rfind(separator);
      if (found == std::string_view::npos) break;
      parts.emplace_back(found + separator.size(), end);
      end = found;
    }
    parts.emplace_back(0, end);
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t found = text.find(separator, begin);
    if (found == std::string_view::npos) break;
    parts.emplace_back(begin, found);
    begin = found + separator.size();
  }
  parts.emplace_back(begin, text.size());
  return parts;
}

// Each code point, with the first one of `text` known as such.
template <typename Change>
MarkedText map_characters(const MarkedText& text, const Change& change) {
  return text.map([&](const std::string& span) {
    std::string out;
    for (std::string_view rest = span; !rest.empty();) {
      const size_t size = code_point_offset(rest, 1);
      out += change(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    return out;
  });
}

}  // namespace

bool is_python_space(std::string_view character) {
  return leading_spaces(character) > 0 || (character[0] >= 0x1C && character[0] <= 0x1F);
}

MarkedText strip(const MarkedText& text, std::string_view chars, Ends ends) {
  const std::string flat = text.flat();
  std::string_view rest = flat;
  const auto goes = [&](std::string_view character) {
    if (chars.empty()) return is_python_space(character);
    for (std::string_view left = chars; !left.empty();) {
      const size_t size = code_point_offset(left, 1);
      if (left.substr(0, size) == character) return true;
      left.remove_prefix(size);
    }
    return false;
  };
  size_t begin = 0;
  while (ends != Ends::kRight && !rest.empty()) {
    const size_t size = code_point_offset(rest, 1);
    if (!goes(rest.substr(0, size))) break;
    rest.remove_prefix(size);
    begin += size;
  }
  while (ends != Ends::kLeft && !rest.empty()) {
    const size_t size = last_code_point(rest);
    if (!goes(rest.substr(rest.size() - size))) break;
    rest.remove_suffix(size);
  }
  return text.slice(begin, begin + rest.size());
}

std::vector<MarkedText> split(const MarkedText& text, std::string_view separator, int64_t most,
                              bool from_right) {
  const std::string flat = text.flat();
  std::vector<MarkedText> parts;
  for (const auto& [begin, end] : separator.empty() ? split_spaces(flat, most, from_right)
                                                    : split_at(flat, separator, most, from_right)) {
    parts.push_back(text.slice(begin, end));
  }
  return parts;
}

std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends) {
  static constexpr std::array<std::string_view, 10> kEnds = {
      "\n", "\r", "\v", "\f", "\x1C", "\x1D", "\x1E", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"};
  const std::string flat = text.flat();
  std::vector<MarkedText> lines;
  size_t begin = 0;
  for (size_t at = 0; at < flat.size();) {
    size_t size = code_point_offset(std::string_view(flat).substr(at), 1);
    const auto character = std::string_view(flat).substr(at, size);
    if (std::find(kEnds.begin(), kEnds.end(), character) == kEnds.end()) {
      at += size;
      continue;
    }
    if (character == "\r" && flat.compare(at + 1, 1, "\n") == 0) size = 2;
    lines.push_back(text.slice(begin, keep_ends ? at + size : at));
    begin = at += size;
  }
  if (begin < flat.size()) lines.push_back(text.slice(begin, flat.size()));
  return lines;
}

Value replace(Runtime& runtime, const MarkedText& text, std::string_view from, const MarkedText& to,
              int64_t most) {
  const std::string flat = text.flat();
  MarkedText out;
  size_t begin = 0;
  for (size_t found = flat.find(from); found != std::string::npos && most != 0;
       found = flat.find(from, begin), --most) {
    if (!runtime.may_make_text(found - begin + to.size())) return {};
    out.append(text.slice(begin, found));
    out.append(to);
    begin = found + from.size();
  }
  out.append(text.slice(begin, flat.size()));
  return runtime.text(std::move(out));
}

MarkedText capitalize(const MarkedText& text) {
  bool first = true;
  return map_characters(text, [&](std::string_view character) {
    return std::exchange(first, false) ? to_upper(character) : to_lower(character);
  });
}

MarkedText title(const MarkedText& text, bool (*ends_word)(std::string_view character)) {
  bool begins = true;
  return map_characters(text, [&](std::string_view character) {
    const bool ends = ends_word(character);
    std::string changed = begins && !ends ? to_upper(character) : to_lower(character);
    begins = ends;
    return changed;
  });
}

Value format_percent(Runtime& runtime, const MarkedText& format, const Value& values) {
  std::vector<Value> items = {values};
  if (const auto* list = values.as<Value::List>(); list && (*list)->kind == ListKind::kTuple) {
    items = (*list)->items;
  }
  const std::string flat = format.flat();
  MarkedText out;
  size_t begin = 0, next = 0;
  for (size_t at = flat.find('%'); at != std::string::npos; at = flat.find('%', begin)) {
    out.append(format.slice(begin, at));
    const char kind = at + 1 < flat.size() ? flat[at + 1] : ' ';
    begin = at + 2;
    if (kind == '%') {
      out.append("%", false);
      continue;
    }
    if (next == items.size()) return runtime.fail("not enough values for the format");
    const Value& value = items[next++];
    const auto integer = as_integer(value);
    if (kind == 's') {
      out.append(runtime.printed(value));
    } else if (kind == 'r') {
      append_repr(value, out);
    } else if ((kind == 'd' || kind == 'i') && integer) {
      out.append(str(*integer), false);
    } else {
      return runtime.fail(str("the format %", kind, " of such a value is not supported"));
    }
  }
  out.append(format.slice(begin, flat.size()));
  if (next < items.size()) return runtime.fail("more values than the format names");
  return runtime.text(std::move(out));
}

}  // namespace sluice::jinja
