// Arithmetic, joining, order, membership and slices.
#include "server/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "server/text/jinja/text_ops.h"

namespace sluice::jinja {
namespace {

Value cannot(Runtime& runtime, std::string_view operation, const Value& a, const Value& b) {
  for (const Value* operand : {&a, &b}) {
    if (const auto* undefined = operand->as<Value::Undefined>()) {
      return runtime.fail(str("'", undefined->name, "' is undefined"));
    }
  }
  return runtime.fail(str("the operator ", operation, " cannot join values of type ", type_name(a),
                          " and ", type_name(b)));
}

// Rounded down, and a remainder of the divisor's sign, as in Python.
Value integer_division(Runtime& runtime, bool remainder, int64_t a, int64_t b) {
  if (b == 0) return runtime.fail("division by zero");
  if (b == -1)
    return remainder ? Value{int64_t{0}} : binary(runtime, "-", Value{int64_t{0}}, Value{a});
  const int64_t rest = a % b;
  const bool below = rest != 0 && (rest < 0) != (b < 0);
  return Value{remainder ? rest + (below ? b : 0) : a / b - (below ? 1 : 0)};
}

std::optional<int64_t> integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1 && __builtin_mul_overflow(result, base, &result)) return std::nullopt;
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return std::nullopt;
  }
  return result;
}

Value on_integers(Runtime& runtime, std::string_view operation, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (operation == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (operation == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (operation == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (operation == "//" || operation == "%") {
    return integer_division(runtime, operation == "%", a, b);
  } else {
    const auto power = integer_power(a, b);
    overflow = !power;
    result = power.value_or(0);
  }
  return overflow ? runtime.fail("an integer of more than 64 bits") : Value{result};
}

Value on_floats(Runtime& runtime, std::string_view operation, double a, double b) {
  if (operation == "+") return Value{a + b};
  if (operation == "-") return Value{a - b};
  if (operation == "*") return Value{a * b};
  if (operation == "**") return Value{std::pow(a, b)};
  if (b == 0) return runtime.fail("division by zero");
  if (operation == "/") return Value{a / b};
  if (operation == "//") return Value{std::floor(a / b)};
  const double rest = std::fmod(a, b);
  return Value{rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest};
}

// A text or list, `times` times.
Value repeated(Runtime& runtime, const Value& value, int64_t times) {
  if (const auto* text = value.as<Value::Text>()) {
    MarkedText out;
    for (int64_t i = 0; i < times && (*text)->size() > 0; ++i) {
      if (!runtime.may_make_text((*text)->size())) return {};
      out.append(**text);
    }
    return make_text(std::move(out));
  }
  const ListData& list = **value.as<Value::List>();
  std::vector<Value> items;
  for (int64_t i = 0; i < times && !list.items.empty(); ++i) {
    if (!runtime.may_make_items(list.items.size())) return {};
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return runtime.list(std::move(items), list.kind);
}

bool can_repeat(const Value& value) { return value.is<Value::Text>() || value.is<Value::List>(); }

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const auto* list = container.as<Value::List>()) {
    const auto& items = (*list)->items;
    return std::any_of(items.begin(), items.end(),
                       [&](const Value& candidate) { return equal(candidate, item); });
  }
  const auto* text = item.as<Value::Text>();
  if (const auto* dict = container.as<Value::Dict>()) {
    return text != nullptr && find(**dict, (*text)->flat()) != nullptr;
  }
  if (const auto* whole = container.as<Value::Text>(); whole != nullptr && text != nullptr) {
    return (*whole)->flat().find((*text)->flat()) != std::string::npos;
  }
  if (container.is<Value::Undefined>()) return false;
  runtime.fail(str("'in' cannot look for a value of type ", type_name(item), " in one of type ",
                   type_name(container)));
  return false;
}

}  // namespace

Value binary(Runtime& runtime, std::string_view operation, const Value& a, const Value& b) {
  if (!runtime.ok()) return {};
  if (operation == "~") {
    MarkedText text = runtime.printed(a);
    text.append(runtime.printed(b));
    return runtime.text(std::move(text));
  }
  const auto integer_a = as_integer(a), integer_b = as_integer(b);
  const bool keeps_integers = operation != "/" && !(operation == "**" && integer_b.value_or(0) < 0);
  if (integer_a && integer_b && keeps_integers) {
    return on_integers(runtime, operation, *integer_a, *integer_b);
  }
  const auto number_a = as_number(a), number_b = as_number(b);
  if (number_a && number_b) return on_floats(runtime, operation, *number_a, *number_b);
  const auto* text_a = a.as<Value::Text>();
  const auto* text_b = b.as<Value::Text>();
  if (operation == "%" && text_a != nullptr) return format_percent(runtime, **text_a, b);
  if (operation == "*" && can_repeat(a) && integer_b) return repeated(runtime, a, *integer_b);
  if (operation == "*" && can_repeat(b) && integer_a) return repeated(runtime, b, *integer_a);
  if (operation != "+") return cannot(runtime, operation, a, b);
  if (text_a != nullptr && text_b != nullptr) {
    MarkedText text = **text_a;
    text.append(**text_b);
    return runtime.text(std::move(text));
  }
  const auto* list_a = a.as<Value::List>();
  const auto* list_b = b.as<Value::List>();
  if (list_a == nullptr || list_b == nullptr || (*list_a)->kind != (*list_b)->kind) {
    return cannot(runtime, operation, a, b);
  }
  std::vector<Value> items = (*list_a)->items;
  items.insert(items.end(), (*list_b)->items.begin(), (*list_b)->items.end());
  return runtime.list(std::move(items), (*list_a)->kind);
}

bool relates(Runtime& runtime, std::string_view operation, const Value& a, const Value& b) {
  if (!runtime.ok()) return false;
  if (operation == "==") return equal(a, b);
  if (operation == "!=") return !equal(a, b);
  if (operation == "in") return contains(runtime, b, a);
  if (operation == "not in") return !contains(runtime, b, a);
  const auto order = compare(a, b);
  if (!order) {
    cannot(runtime, operation, a, b);
    return false;
  }
  if (operation == "<") return *order < 0;
  if (operation == "<=") return *order <= 0;
  if (operation == ">") return *order > 0;
  return *order >= 0;
}

Value negated(Runtime& runtime, const Value& value) {
  if (const double* number = value.as<double>()) return Value{-*number};
  return binary(runtime, "-", Value{int64_t{0}}, value);
}

Value slice(Runtime& runtime, const Value& value, const Value& from, const Value& to,
            const Value& step) {
  if (!runtime.ok()) return {};
  const auto bound = [&](const Value& given, int64_t fallback) {
    if (given.is<Value::Undefined>() || given.is<Value::None>()) return fallback;
    if (const auto integer = as_integer(given)) return *integer;
    runtime.fail("the borders of a slice must be integers");
    return fallback;
  };
  if (const auto* undefined = value.as<Value::Undefined>()) {
    return runtime.fail(str("'", undefined->name, "' is undefined"));
  }
  const auto* list = value.as<Value::List>();
  const auto* text = value.as<Value::Text>();
  if (list == nullptr && text == nullptr) return {Value::Undefined{"a slice"}};
  const std::string flat = text != nullptr ? (*text)->flat() : "";
  const int64_t size =
      text != nullptr ? count_code_points(flat) : static_cast<int64_t>((*list)->items.size());
  const int64_t stride = bound(step, 1);
  if (stride == 0) return runtime.fail("the step of a slice is 0");
  // Borders as Python clamps them: to [0, size], or [-1, size - 1] going backwards.
  const int64_t lowest = stride > 0 ? 0 : -1, highest = stride > 0 ? size : size - 1;
  const auto clamp = [&](int64_t at) {
    return std::clamp(at < 0 ? at + size : at, lowest, highest);
  };
  const int64_t missing = INT64_MIN;
  const int64_t first = bound(from, missing), last = bound(to, missing);
  const int64_t begin = first == missing ? (stride > 0 ? 0 : size - 1) : clamp(first);
  const int64_t end = last == missing ? (stride > 0 ? size : -1) : clamp(last);
  if (text != nullptr && stride == 1) {
    const size_t start = code_point_offset(flat, begin);
    return runtime.text((*text)->slice(start, std::max(code_point_offset(flat, end), start)));
  }
  const std::vector<Value> items = runtime.items_of(value);
  std::vector<Value> kept;
  for (int64_t i = begin; stride > 0 ? i < end : i > end;) {
    kept.push_back(items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (list != nullptr) return runtime.list(std::move(kept), (*list)->kind);
  MarkedText out;
  for (const Value& character : kept) out.append(**character.as<Value::Text>());
  return runtime.text(std::move(out));
}

}  // namespace sluice::jinja
