// The tests of the template language (`x is defined`) that this engine has, as a table.
#pragma once

#include <string_view>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

struct Test {
  std::string_view name;
  bool (*holds)(Runtime& runtime, const Value& value, const Arguments& arguments);
};

// Null: there is none of this name.
const Test* find_test(std::string_view name);

}  // namespace sluice::jinja
