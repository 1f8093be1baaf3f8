// Lines of JSON, whole ones only.
#include "server/request_log.h"

#include <ctime>
#include <iostream>

#include "base/text.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

std::string utc_time(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  const std::time_t whole = seconds.count();
  std::tm utc{};
  gmtime_r(&whole, &utc);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  char fraction[8];
  std::snprintf(
      fraction, sizeof fraction, ".%03dZ",
      static_cast<int>(std::chrono::duration_cast<milliseconds>(since - seconds).count()));
  return std::string(text, length) + fraction;
}

void append_member(std::string* out, std::string_view name, std::string_view value) {
  out->append(out->size() > 1 ? "," : "");
  append_json_string(out, name);
  out->append(":");
  append_json_string(out, value);
}

void append_member(std::string* out, std::string_view name, int64_t value) {
  out->append(",");
  append_json_string(out, name);
  out->append(":");
  append_json(out, value);
}

int64_t in_ms(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<milliseconds>(time).count();
}

}  // namespace

std::string json_line(const RequestEntry& entry, std::chrono::system_clock::time_point now) {
  std::string out = "{";
  append_member(&out, "time", utc_time(now));
  append_member(&out, "front", entry.front);
  append_member(&out, "call", entry.call);
  append_member(&out, "code", entry.code);
  append_member(&out, "request_id", entry.request_id);
  if (!entry.trace.empty()) {
    append_member(&out, "trace_id", entry.trace.trace_id);
    append_member(&out, "span_id", entry.trace.span_id);
    append_member(&out, "parent_span_id", entry.trace.parent_id);
  }
  append_member(&out, "ms", in_ms(entry.spent));
  if (entry.counts) {
    const auto& [usage, first_token] = *entry.counts;
    if (first_token) append_member(&out, "first_token_ms", in_ms(*first_token));
    append_member(&out, "prompt_tokens", usage.prompt_tokens);
    append_member(&out, "completion_tokens", usage.completion_tokens);
    append_member(&out, "cached_tokens", usage.cached_tokens);
  }
  return out + "}\n";
}

Result<std::unique_ptr<RequestLog>> RequestLog::open(const std::string& path) {
  std::unique_ptr<RequestLog> log(new RequestLog());
  if (path == "-") return log;
  log->file_.open(path, std::ios::app);
  if (log->file_.is_open()) return log;
  return invalid_argument(str("--request-log ", path, " cannot be written"), "request-log");
}

void RequestLog::write(const RequestEntry& entry) {
  const std::string line = json_line(entry, std::chrono::system_clock::now());
  const std::scoped_lock lock(mutex_);
  std::ostream& out = file_.is_open() ? static_cast<std::ostream&>(file_) : std::cout;
  out << line << std::flush;
}

}  // namespace sluice
