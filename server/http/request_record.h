// RequestRecord: one HTTP request's line in the log and its count in the metrics.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/metrics.h"
#include "server/request_log.h"

namespace sluice {

// Counted and logged (without a word of the content) when it is destroyed.
class RequestRecord {
 public:
  using Clock = std::chrono::steady_clock;

  // `metrics` and `log`, which may be null, must outlive it.
  RequestRecord(Metrics& metrics, RequestLog* log, std::string method, std::string id)
      : metrics_(metrics),
        log_(log),
        method_(std::move(method)),
        id_(std::move(id)),
        arrival_(Clock::now()) {}
  ~RequestRecord();
  RequestRecord(const RequestRecord&) = delete;
  RequestRecord& operator=(const RequestRecord&) = delete;

  void set_route(std::string_view route) { route_ = route; }
  void set_code(int code) { code_ = code; }
  void set_trace(TraceContext trace) { trace_ = std::move(trace); }
  void set_counts(const RequestCounts& counts) { counts_ = counts; }
  const std::string& id() const { return id_; }
  // Header fields that the response gets, whatever it is.
  void add_header(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
  }
  const std::vector<std::pair<std::string, std::string>>& headers() const { return headers_; }
  Clock::time_point arrival() const { return arrival_; }

 private:
  static constexpr int kClientLeft = 499;  // nginx's number for a request without a response

  Metrics& metrics_;
  RequestLog* log_;
  std::string method_;
  std::string id_;
  Clock::time_point arrival_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::string_view route_ = "unknown";
  int code_ = kClientLeft;
  TraceContext trace_;
  std::optional<RequestCounts> counts_;
};

}  // namespace sluice
