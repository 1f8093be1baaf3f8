// Lexer: text up to the next tag, then the tag's tokens, then its end.
#include "server/text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "server/text/utf8.h"

namespace sluice::jinja {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Line ends as \n, and without the last one: as Jinja reads a source.
std::string normalize(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize(source)) {}

  Result<std::vector<Token>> run() {
    while (status_.ok() && at_ < source_.size()) next_part();
    if (!status_.ok()) return status_;
    add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  void add(Token::Kind kind, std::string text = {}, int64_t integer = 0) {
    tokens_.push_back({kind, line_, std::move(text), integer});
  }
  void fail(const std::string& what) {
    if (status_.ok()) status_ = invalid_argument(str("line ", line_, ": ", what));
  }
  bool at(std::string_view text) const { return rest().starts_with(text); }
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  void skip(size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<long>(at_),
                                         source_.begin() + static_cast<long>(at_ + count), '\n'));
    at_ += count;
  }

  // Text, and the tag behind it.
  void next_part() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) break;
      const char kind = tag + 1 < source_.size() ? source_[tag + 1] : ' ';
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) {
      add(Token::Kind::kText, std::string(rest()));
      skip(source_.size() - at_);
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const std::string_view kept = before_tag(text, kind, sign);
    if (!kept.empty()) add(Token::Kind::kText, std::string(kept));
    skip(text.size() + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') {
      comment();
    } else if (kind != '%' || !raw_block()) {
      tag_body(kind == '{');
    }
  }

  // {% raw %} ... {% endraw %}: text as it stands. False, and nothing consumed: no such tag.
  bool raw_block() {
    const auto tag_end = [&](size_t from, std::string_view name) -> size_t {  // behind %}, or npos
      size_t at = rest().find_first_not_of(kSpaces, from);
      if (at == std::string::npos || !rest().substr(at).starts_with(name)) return std::string::npos;
      at = rest().find_first_not_of(kSpaces, at + name.size());
      if (at != std::string::npos && (rest()[at] == '-' || rest()[at] == '+')) ++at;
      const bool closed = at != std::string::npos && rest().substr(at).starts_with("%}");
      return closed ? at + 2 : std::string::npos;
    };
    const size_t begin = tag_end(0, "raw");
    if (begin == std::string::npos) return false;
    const char begin_sign = rest()[begin - 3];
    skip(begin);
    after_tag(begin_sign, /*trims_newline=*/false);
    for (size_t tag = rest().find("{%"); tag != std::string::npos;
         tag = rest().find("{%", tag + 2)) {
      const char sign = tag + 2 < rest().size() ? rest()[tag + 2] : ' ';
      const size_t end = tag_end(tag + 2 + (sign == '-' || sign == '+' ? 1 : 0), "endraw");
      if (end == std::string::npos) continue;
      const std::string_view kept = before_tag(rest().substr(0, tag), '%', sign);
      if (!kept.empty()) add(Token::Kind::kText, std::string(kept));
      const char end_sign = rest()[end - 3];
      skip(end);
      after_tag(end_sign, /*trims_newline=*/true);
      return true;
    }
    fail("a raw block has no end: {% endraw %} is missing");
    return true;
  }

  // What remains of the text before a tag.
  std::string_view before_tag(std::string_view text, char kind, char sign) const {
    if (sign == '-') return text.substr(0, text.find_last_not_of(kSpaces) + 1);
    if (sign == '+' || kind == '{') return text;
    const size_t line_start = text.rfind('\n') + 1;  // 0: no newline in the text
    if (line_start == 0 && !line_starting_) return text;
    const bool blank = text.find_first_not_of(kSpaces, line_start) == std::string_view::npos;
    return blank ? text.substr(0, line_start) : text;
  }

  void comment() {
    const size_t end = rest().find("#}");
    if (end == std::string::npos) return fail("a comment has no end: #} is missing");
    const char sign = end > 0 ? rest()[end - 1] : ' ';
    skip(end + 2);
    after_tag(sign, /*trims_newline=*/true);
  }

  // Skips what a tag's end takes with it.
  void after_tag(char sign, bool trims_newline) {
    size_t count = 0;
    if (sign == '-') {
      count = std::min(rest().find_first_not_of(kSpaces), rest().size());
    } else if (trims_newline && sign != '+' && at("\n")) {
      count = 1;
    }
    line_starting_ = count > 0 && rest()[count - 1] == '\n';
    skip(count);
  }

  void tag_body(bool is_output) {
    add(is_output ? Token::Kind::kOutputBegin : Token::Kind::kBlockBegin);
    const std::string_view end = is_output ? "}}" : "%}";
    int open = 0;  // mappings; inside them }} closes two
    while (status_.ok()) {
      skip(std::min(rest().find_first_not_of(kSpaces), rest().size()));
      if (at_ == source_.size()) return fail(str("a tag has no end: ", end, " is missing"));
      const char sign = rest().front();
      const size_t sign_size = (sign == '-' || sign == '+') && rest().substr(1).starts_with(end);
      if (open == 0 && (sign_size > 0 || at(end))) {
        add(is_output ? Token::Kind::kOutputEnd : Token::Kind::kBlockEnd);
        skip(sign_size + end.size());
        return after_tag(sign_size > 0 ? sign : ' ', !is_output);
      }
      if (sign == '{') ++open;
      if (sign == '}') open = std::max(open - 1, 0);
      expression_token();
    }
  }

  void expression_token() {
    const char first = rest().front();
    if (is_name_start(first)) {
      size_t size = 1;
      while (size < rest().size() && (is_name_start(rest()[size]) || is_digit(rest()[size])))
        ++size;
      add(Token::Kind::kName, std::string(rest().substr(0, size)));
      return skip(size);
    }
    if (is_digit(first)) return number();
    if (first == '\'' || first == '"') return string(first);
    static constexpr std::array<std::string_view, 28> kOperators = {
        "==", "!=", "<=", ">=", "//", "**", "<", ">", "+", "-", "*", "/", "%", "~",
        "=",  "|",  ".",  ",",  ":",  "(",  ")", "[", "]", "{", "}", ";", "@", "&"};
    for (const std::string_view candidate : kOperators) {
      if (!at(candidate)) continue;
      add(Token::Kind::kOperator, std::string(candidate));
      return skip(candidate.size());
    }
    fail(str("unexpected character '", first, "'"));
  }

  // Digits, with _ between them; a fraction; an exponent.
  void number() {
    const auto digits = [&](size_t from) {
      size_t end = from;
      while (end < rest().size() && (is_digit(rest()[end]) || (rest()[end] == '_' && end > from))) {
        ++end;
      }
      return end;
    };
    const auto char_at = [&](size_t i) { return i < rest().size() ? rest()[i] : ' '; };
    size_t end = digits(0);
    const size_t integer_end = end;
    if (char_at(end) == '.' && is_digit(char_at(end + 1))) end = digits(end + 1);
    if (char_at(end) == 'e' || char_at(end) == 'E') {
      const bool sign = char_at(end + 1) == '-' || char_at(end + 1) == '+';
      const size_t exponent = end + (sign ? 2 : 1);
      if (is_digit(char_at(exponent))) end = digits(exponent);
    }
    std::string text(rest().substr(0, end));
    std::erase(text, '_');
    Token token{end == integer_end ? Token::Kind::kInteger : Token::Kind::kFloat, line_};
    const char* last = text.data() + text.size();
    const auto [stop, error] = token.kind == Token::Kind::kInteger
                                   ? std::from_chars(text.data(), last, token.integer)
                                   : std::from_chars(text.data(), last, token.number);
    if (error != std::errc() || stop != last || is_name_start(char_at(end))) {
      return fail("a number that is neither an integer of 64 bits nor a float");
    }
    tokens_.push_back(std::move(token));
    skip(end);
  }

  void string(char quote) {
    std::string value;
    size_t i = 1;
    while (i < rest().size() && rest()[i] != quote) {
      if (rest()[i] == '\\' && i + 1 < rest().size()) {
        i = escape(i, value);
      } else {
        value += rest()[i++];
      }
    }
    if (i >= rest().size()) return fail("a string has no closing quote");
    add(Token::Kind::kString, std::move(value));
    skip(i + 1);
  }

  // Resolves the escape at rest()[i] as Python does; returns the position behind it.
  size_t escape(size_t i, std::string& value) {
    const char kind = rest()[i + 1];
    static constexpr std::string_view kLetters = "ntr\\'\"abfv";
    static constexpr std::string_view kMeanings = "\n\t\r\\'\"\a\b\f\v";
    if (const size_t found = kLetters.find(kind); found != std::string_view::npos) {
      value += kMeanings[found];
      return i + 2;
    }
    if (kind == '\n') return i + 2;
    if (kind == 'x' || kind == 'u') {
      const size_t digits = kind == 'x' ? 2 : 4;
      const std::string_view hex = rest().substr(i + 2, digits);
      uint32_t code = 0;
      const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
      const bool whole = error == std::errc() && end == hex.data() + digits;
      if (!whole || (code >= 0xD800 && code < 0xE000)) {
        fail(str("a string has a broken \\", kind, " escape"));
      }
      append_utf8(value, code);
      return i + 2 + digits;
    }
    if (is_digit(kind) || kind == 'U' || kind == 'N') {
      fail(str("the escape \\", kind, " is not supported"));
    }
    value += '\\';
    value += kind;
    return i + 2;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the text at at_ begins a line of the source
  std::vector<Token> tokens_;
  Status status_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace sluice::jinja
