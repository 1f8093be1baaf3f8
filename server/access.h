// AccessGate: the one gate for keys, before HTTP and gRPC alike.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace sluice {

class ApiKeys {
 public:
  ApiKeys() = default;  // no keys: everybody may come in
  explicit ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  bool empty() const { return keys_.empty(); }
  // kUnauthenticated unless `authorization` is "Bearer KEY" with one of the keys. How long it takes
  // does not tell how much of a key is right.
  Status check(std::string_view authorization) const;

 private:
  std::vector<std::string> keys_;
};

// The keys that hold at the moment. Thread-safe; the fronts share one.
class AccessGate {
 public:
  AccessGate() = default;  // no keys
  explicit AccessGate(ApiKeys keys) { replace(std::move(keys)); }

  Status check(std::string_view authorization) const { return current()->check(authorization); }
  bool has_keys() const { return !current()->empty(); }
  // Calls that have passed the gate go on.
  void replace(ApiKeys keys);

 private:
  std::shared_ptr<const ApiKeys> current() const;

  mutable std::mutex mutex_;
  std::shared_ptr<const ApiKeys> keys_ = std::make_shared<ApiKeys>();  // guarded by mutex_
};

}  // namespace sluice
