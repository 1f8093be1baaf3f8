// Status and Result<T>: what a user or the world can cause, as values (std::expected is C++23).
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace sluice {

// The kinds of failure that a caller treats differently; HTTP and gRPC each map them in one table.
enum class StatusCode {
  kOk,
  kInvalidArgument,    // the request is wrong; sending it again cannot help
  kTooLong,            // wrong as above: more tokens than the model's length
  kNotFound,           // names something that is not there
  kUnauthenticated,    // no key, or a wrong one
  kResourceExhausted,  // a bound is reached now; later may work
  kUnavailable,        // loading, draining
  kCancelled,          // the client left or cancelled
  kDeadlineExceeded,   // the request's own time limit
  kUnimplemented,      // known, and not supported
  kInternal,           // a bug of ours
};

// What went wrong, the limit, and the way out, in one sentence. Cheap to move; equal to ok() when
// empty.
class [[nodiscard]] Status {
 public:
  Status() = default;
  // `field` names the request's field or the file that is to blame; it may be empty.
  Status(StatusCode code, std::string message, std::string field = {})
      : code_(code), message_(std::move(message)), field_(std::move(field)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& field() const { return field_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
  std::string field_;
};

inline Status invalid_argument(std::string message, std::string field = {}) {
  return {StatusCode::kInvalidArgument, std::move(message), std::move(field)};
}

// A T, or the Status that says why there is none. value() on a failure is a bug and throws.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    SLUICE_CHECK(!status_.ok());
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & {
    require();
    return *value_;
  }
  const T& value() const& {
    require();
    return *value_;
  }
  T&& value() && {
    require();
    return std::move(*value_);
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void require() const {
    if (!value_) fail_check(__FILE__, __LINE__, "Result holds no value: " + status_.message());
  }
  std::optional<T> value_;
  Status status_;
};

}  // namespace sluice

// Returns from the enclosing function with the Status of `expression` when it is a failure.
#define SLUICE_RETURN_IF_ERROR(expression)                                      \
  do {                                                                          \
    if (::sluice::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)
