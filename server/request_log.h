// RequestLog: a line of JSON for every finished request, without a word of its content.
//
//   {"time":"2026-01-02T03:04:05.678Z","front":"http","call":"/v1/completions","code":"200",
//    "request_id":"...","trace_id":"...","span_id":"...","parent_span_id":"...","ms":812,
//    "first_token_ms":31,"prompt_tokens":5,"completion_tokens":60,"cached_tokens":0}
#pragma once

#include <chrono>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/service.h"
#include "server/trace_context.h"

namespace sluice {

// What a request that generated has made, whether it ended well or not.
struct RequestCounts {
  Usage usage;
  std::optional<std::chrono::nanoseconds> first_token;  // after its arrival; absent: none was made
};

struct RequestEntry {
  std::string_view front;  // "http", "grpc"
  std::string_view call;   // a route's pattern, a method
  std::string code;        // "200", "OK"
  std::string request_id;
  TraceContext trace;  // may be empty
  std::chrono::nanoseconds spent{};
  std::optional<RequestCounts> counts;
};

std::string json_line(const RequestEntry& entry, std::chrono::system_clock::time_point now);

// Thread-safe.
class RequestLog {
 public:
  // Appends to the file `path`; "-" is standard output.
  static Result<std::unique_ptr<RequestLog>> open(const std::string& path);

  void write(const RequestEntry& entry);

 private:
  RequestLog() = default;

  std::mutex mutex_;
  std::ofstream file_;  // not open: standard output
};

}  // namespace sluice
