// Tests, as small functions in a table.
#include "server/text/jinja/tests.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "server/text/jinja/filters.h"
#include "server/text/jinja/methods.h"
#include "server/text/jinja/operators.h"

namespace sluice::jinja {
namespace {

template <typename... Types>
bool is_one_of(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return (value.is<Types>() || ...);
}

bool is_defined(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return !value.is<Value::Undefined>();
}

template <bool kWanted>
bool is_flag(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  const bool* flag = value.as<bool>();
  return flag != nullptr && *flag == kWanted;
}

template <char kFirst, char kSecond>
bool compares(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"other"});
  const std::array<char, 2> name = {kFirst, kSecond};
  return relates(runtime, std::string_view(name.data(), kSecond == ' ' ? 1 : 2), value, bound[0]);
}

bool is_in(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"seq"});
  return relates(runtime, "in", value, bound[0]);
}

bool is_same(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"other"});
  return value.data.index() == bound[0].data.index() && equal(value, bound[0]);
}

// value % divisor == remainder, of integers.
bool leaves(Runtime& runtime, const Value& value, const Value& divisor, int64_t remainder) {
  return equal(binary(runtime, "%", value, divisor), Value{remainder});
}

bool is_odd(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return leaves(runtime, value, Value{int64_t{2}}, 1);
}

bool is_even(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return leaves(runtime, value, Value{int64_t{2}}, 0);
}

bool is_divisible(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"num"});
  return leaves(runtime, value, bound[0], 0);
}

bool is_case(Runtime& runtime, const Value& value, const char* method) {
  return truthy(call_method(runtime, make_text(runtime.printed(value)), method, {}));
}

bool is_lower_test(Runtime& runtime, const Value& value, const Arguments& /*arguments*/) {
  return is_case(runtime, value, "islower");
}

bool is_upper_test(Runtime& runtime, const Value& value, const Arguments& /*arguments*/) {
  return is_case(runtime, value, "isupper");
}

bool is_filter(Runtime& runtime, const Value& value, const Arguments& /*arguments*/) {
  return find_filter(runtime.printed(value).flat()) != nullptr;
}

bool is_test(Runtime& runtime, const Value& value, const Arguments& /*arguments*/) {
  return find_test(runtime.printed(value).flat()) != nullptr;
}

bool is_sequence(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto* list = value.as<Value::List>();
  if (list != nullptr && (*list)->kind == ListKind::kGenerator) return false;
  return is_one_of<Value::Text, Value::List, Value::Dict, Value::Undefined>(runtime, value,
                                                                            arguments);
}

constexpr std::array<Test, 38> kTests = {{
    {"!=", compares<'!', '='>},
    {"<", compares<'<', ' '>},
    {"<=", compares<'<', '='>},
    {"==", compares<'=', '='>},
    {">", compares<'>', ' '>},
    {">=", compares<'>', '='>},
    {"boolean", is_one_of<bool>},
    {"callable", is_one_of<Value::Function>},
    {"defined", is_defined},
    {"divisibleby", is_divisible},
    {"eq", compares<'=', '='>},
    {"equalto", compares<'=', '='>},
    {"even", is_even},
    {"false", is_flag<false>},
    {"filter", is_filter},
    {"float", is_one_of<double>},
    {"ge", compares<'>', '='>},
    {"greaterthan", compares<'>', ' '>},
    {"gt", compares<'>', ' '>},
    {"in", is_in},
    {"integer", is_one_of<int64_t>},
    {"iterable", is_one_of<Value::Text, Value::List, Value::Dict, Value::Undefined, Value::Loop>},
    {"le", compares<'<', '='>},
    {"lessthan", compares<'<', ' '>},
    {"lower", is_lower_test},
    {"lt", compares<'<', ' '>},
    {"mapping", is_one_of<Value::Dict>},
    {"ne", compares<'!', '='>},
    {"none", is_one_of<Value::None>},
    {"number", is_one_of<bool, int64_t, double>},
    {"odd", is_odd},
    {"sameas", is_same},
    {"sequence", is_sequence},
    {"string", is_one_of<Value::Text>},
    {"test", is_test},
    {"true", is_flag<true>},
    {"undefined", is_one_of<Value::Undefined>},
    {"upper", is_upper_test},
}};

}  // namespace

const Test* find_test(std::string_view name) {
  const auto* found = std::find_if(kTests.begin(), kTests.end(),
                                   [&](const Test& test) { return test.name == name; });
  return found == kTests.end() ? nullptr : found;
}

}  // namespace sluice::jinja
