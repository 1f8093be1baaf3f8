// ApiKeys: the one gate for keys, before HTTP and gRPC alike.
#pragma once

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

}  // namespace sluice
