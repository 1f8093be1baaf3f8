// Patterns for PCRE2: translated, compiled with its JIT, matched within limits.
#include "server/text/hf/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace sluice {
namespace {

constexpr size_t kMaxPatternBytes = 100'000;
constexpr uint32_t kMaxMatchSteps = 50'000'000;  // of one search
constexpr size_t kMaxJitStackBytes = size_t{8} << 20;
constexpr std::string_view kWordClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// A pattern of Oniguruma's to one of PCRE2's that means the same.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    // From every place in a run of spaces this one looks on to the run's end, which is quadratic;
    // but a match never starts inside a run.
    if (in_ == R"(\s+$)") return std::string(R"((?<!\p{White_Space})\p{White_Space}+$)");
    while (at_ < in_.size() && problem_.empty()) next();
    if (!problem_.empty()) return invalid_argument(str("the pattern has ", problem_));
    return std::move(out_);
  }

 private:
  void refuse(const std::string& what) { problem_ = what + ", which is not supported"; }
  bool at(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void copy(size_t size) {
    out_ += in_.substr(at_, size);
    at_ += size;
  }

  void next() {
    const char c = in_[at_];
    if (c == '\\') return escape();
    if (in_set_) {
      if (at("&&")) return refuse("an intersection of sets (&&)");
      if (c == '[' && !at("[:")) return refuse("a set inside a set");
      if (at("[:")) return copy(std::min(in_.find(":]", at_), in_.size() - 2) + 2 - at_);
      in_set_ = c != ']';
      return copy(1);
    }
    if (c == '[') {
      in_set_ = true;
      return copy(at("[^") ? 2 : 1);
    }
    if (at("(?")) return group();
    if (at("}+")) return refuse("a possessive count ({n}+)");
    copy(1);
  }

  void group() {
    size_t end = at_ + 2;
    while (end < in_.size() && (in_[end] == 'i' || in_[end] == '-')) ++end;
    const char kind = end < in_.size() ? in_[end] : ' ';
    const bool look_behind = in_.substr(end).starts_with("<=") || in_.substr(end).starts_with("<!");
    if (std::string_view(":)=!>").find(kind) == std::string_view::npos && !look_behind) {
      return refuse(str("the group (?", kind));
    }
    copy(end + 1 - at_);
  }

  void escape() {
    if (at_ + 1 == in_.size()) return refuse("a backslash at its end");
    const char kind = in_[at_ + 1];
    const auto put = [&](std::string_view text) {
      out_ += text;
      at_ += 2;
    };
    switch (kind) {
      case 's':
        return put(R"(\p{White_Space})");
      case 'S':
        return put(R"(\P{White_Space})");
      case 'd':
        return put(R"(\p{Nd})");
      case 'D':
        return put(R"(\P{Nd})");
      case 'w':
        return put(in_set_ ? std::string(kWordClass) : str("[", kWordClass, "]"));
      case 'W':
        return in_set_ ? refuse(R"(\W inside a set)") : put(str("[^", kWordClass, "]"));
      case 'h':
        return put(in_set_ ? "0-9A-Fa-f" : "[0-9A-Fa-f]");
      case 'v':
        return put(R"(\x0b)");
      case 'u': {
        out_ += str(R"(\x{)", in_.substr(at_ + 2, 4), "}");
        at_ = std::min(at_ + 6, in_.size());
        return;
      }
      case 'p':
      case 'P': {
        const size_t end = in_.find('}', at_);
        if (in_.substr(at_ + 2, 1) != "{" || end == std::string_view::npos) {
          return refuse(R"(\p without {...})");
        }
        return copy(end + 1 - at_);
      }
      default:
        break;
    }
    const bool plain = !((kind >= '0' && kind <= '9') || (kind >= 'a' && kind <= 'z') ||
                         (kind >= 'A' && kind <= 'Z'));
    if (!plain && std::string_view("nrtfaex0").find(kind) == std::string_view::npos) {
      return refuse(str("the escape \\", kind));
    }
    copy(2);
  }

  std::string_view in_;
  size_t at_ = 0;
  bool in_set_ = false;
  std::string out_;
  std::string problem_;
};

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

}  // namespace

struct Regex::Compiled {
  Code code;
};

struct Regex::Matcher::State {
  std::shared_ptr<const Compiled> compiled;
  JitStack stack{pcre2_jit_stack_create(32 << 10, kMaxJitStackBytes, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  MatchData data;
};

Result<Regex> Regex::compile(const std::string& pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return invalid_argument(
        str("the pattern has ", pattern.size(), " bytes; the limit is ", kMaxPatternBytes));
  }
  const Result<std::string> translated = Translator(pattern).run();
  if (!translated.ok()) return translated.status();
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  // Multi-line, because ^ and $ are lines' ends in Ruby.
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context.get()));
  if (!code) {
    char message[120] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return invalid_argument(str("the pattern does not compile: ", message));
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) return invalid_argument("the pattern can match nothing at all");
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it, matching is slow and the same
  Regex regex;
  regex.compiled_ = std::make_shared<const Compiled>(Compiled{std::move(code)});
  return regex;
}

Regex::Matcher::Matcher(const Regex& regex) : state_(std::make_shared<State>()) {
  state_->compiled = regex.compiled_;
  state_->data.reset(pcre2_match_data_create_from_pattern(regex.compiled_->code.get(), nullptr));
  pcre2_set_match_limit(state_->context.get(), kMaxMatchSteps);
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}

void Regex::Matcher::find_all(std::string_view text, std::vector<Span>& matches) const {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto search = [&](size_t from, uint32_t options) {
    return pcre2_match(state_->compiled->code.get(), subject, text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, state_->data.get(), state_->context.get());
  };
  for (size_t at = 0; at < text.size();) {
    int count = search(at, 0);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = search(at, PCRE2_NO_JIT);
    if (count == PCRE2_ERROR_NOMATCH) return;
    SLUICE_CHECK_GT(count, 0);
    const size_t* offsets = pcre2_get_ovector_pointer(state_->data.get());
    SLUICE_CHECK_GT(offsets[1], at);
    matches.push_back({offsets[0], offsets[1]});
    at = offsets[1];
  }
}

}  // namespace sluice
