// Reading traceparent: "VERSION-TRACE-PARENT-FLAGS", 2, 32, 16 and 2 digits.
#include "server/trace_context.h"

#include <algorithm>

#include "base/text.h"
#include "server/front.h"

namespace sluice {
namespace {

constexpr size_t kVersionDigits = 2;
constexpr size_t kTraceDigits = 32;
constexpr size_t kSpanDigits = 16;
constexpr size_t kFlagDigits = 2;

bool is_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Takes `count` digits off the front of `text`, and the dash before them if there is to be one.
// Empty where something else stands there.
std::string_view take(std::string_view& text, size_t count, bool dash) {
  if (dash && !text.starts_with('-')) return {};
  if (dash) text.remove_prefix(1);
  const std::string_view digits = text.substr(0, count);
  if (digits.size() < count || !std::all_of(digits.begin(), digits.end(), is_digit)) return {};
  text.remove_prefix(count);
  return digits;
}

bool is_zero(std::string_view digits) {
  return std::all_of(digits.begin(), digits.end(), [](char c) { return c == '0'; });
}

}  // namespace

std::string TraceContext::header() const { return str("00-", trace_id, "-", span_id, "-", flags); }

TraceContext read_trace_context(std::string_view traceparent) {
  const std::string_view version = take(traceparent, kVersionDigits, false);
  const std::string_view trace = take(traceparent, kTraceDigits, true);
  const std::string_view parent = take(traceparent, kSpanDigits, true);
  const std::string_view flags = take(traceparent, kFlagDigits, true);
  // Later versions may have more after another dash; the first one has not.
  const bool ends_well = traceparent.empty() || (version != "00" && traceparent.starts_with('-'));
  if (version.empty() || version == "ff" || is_zero(trace) || is_zero(parent) || flags.empty() ||
      !ends_well) {
    return {};
  }
  return {.trace_id = std::string(trace),
          .parent_id = std::string(parent),
          .span_id = random_id().substr(0, kSpanDigits),
          .flags = std::string(flags)};
}

}  // namespace sluice
