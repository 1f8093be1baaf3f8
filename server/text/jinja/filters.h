// The filters and tests of the template language that this engine has, as tables.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/jinja/value.h"

namespace sluice::jinja {

struct Filter {
  std::string_view name;
  size_t max_arguments;  // behind the value that is filtered
  // The message of a failure lacks the line, which the caller knows.
  Result<Value> (*apply)(const Value& value, const std::vector<Value>& arguments);
};

struct Test {
  std::string_view name;
  bool (*holds)(const Value& value);
};

// Null: there is none of this name.
const Filter* find_filter(std::string_view name);
const Test* find_test(std::string_view name);

}  // namespace sluice::jinja
