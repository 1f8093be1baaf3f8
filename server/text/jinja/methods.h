// Methods of values: those of Python's str, dict and list that change nothing.
#pragma once

#include <string>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

// Whether `object` has a method of this name. Methods that change an object count too: they hide
// items of that name, and calling them fails.
bool is_method(const Value& object, const std::string& name);
// Calls it. Fails for methods that are not supported and for wrong arguments.
Value call_method(Runtime& runtime, const Value& object, const std::string& name,
                  const Arguments& arguments);

}  // namespace sluice::jinja
