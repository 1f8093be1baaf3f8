// Calls: macros, {% call %} blocks, methods, and the functions that every template has.
#include <algorithm>
#include <array>
#include <ctime>
#include <string_view>

#include "base/text.h"
#include "server/text/jinja/interpreter.h"
#include "server/text/jinja/methods.h"

namespace sluice::jinja {
namespace {

constexpr std::array<std::string_view, 5> kGlobals = {"dict", "namespace", "raise_exception",
                                                      "range", "strftime_now"};
constexpr size_t kMaxTimeBytes = 4096;

}  // namespace

Value Interpreter::look_up(const std::string& name) const {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->outer) {
    for (const auto& [bound, value] : scope->variables) {
      if (bound == name) return value;
    }
  }
  if (std::find(kGlobals.begin(), kGlobals.end(), name) != kGlobals.end()) {
    return {std::make_shared<const FunctionData>(FunctionData{name, std::nullopt, nullptr, 0})};
  }
  return {Value::Undefined{name}};
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (!runtime_.ok()) return {};
  if (const auto* undefined = callee.as<Value::Undefined>()) {
    return runtime_.fail(str("'", undefined->name, "' is undefined, and called"));
  }
  if (const auto* position = callee.as<Value::Loop>()) {
    const auto* statement = static_cast<const Statement*>((*position)->recursive);
    if (statement == nullptr || arguments.positional.size() != 1) {
      return runtime_.fail("loop(...) is for one argument, in a recursive loop");
    }
    if (++call_depth_ > kMaxCallDepth)
      runtime_.fail(str("more than ", kMaxCallDepth, " calls deep"));
    MarkedText outer = std::exchange(output_, MarkedText());
    loop(*statement, arguments.positional[0], (*position)->depth + 1);
    MarkedText inner = std::exchange(output_, std::move(outer));
    --call_depth_;
    return runtime_.text(std::move(inner));
  }
  const auto* function = callee.as<Value::Function>();
  if (function == nullptr) {
    return runtime_.fail(str("a value of type ", type_name(callee), " cannot be called"));
  }
  const FunctionData& data = **function;
  if (data.self) runtime_.count_work(*data.self);
  if (data.self) return call_method(runtime_, *data.self, data.name, arguments);
  if (data.macro != nullptr) {
    return call_macro(*static_cast<const Statement*>(data.macro), arguments, &root_);
  }
  return data.caller > 0 ? call_caller(data.caller, arguments) : call_global(data.name, arguments);
}

// `scope`: the one that the body sees round itself.
Value Interpreter::call_macro(const Statement& macro, const Arguments& arguments, Scope* scope) {
  const auto& parameters = macro.parameters;
  if (arguments.positional.size() > parameters.size()) {
    return runtime_.fail(str(macro.name, "() takes at most ", parameters.size(), " arguments"));
  }
  if (++call_depth_ > kMaxCallDepth) runtime_.fail(str("more than ", kMaxCallDepth, " calls deep"));
  Scope* const outside = scope_;
  Scope inside{{}, scope};
  scope_ = &inside;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Value value{Value::Undefined{parameters[i].name}};
    bool given = i < arguments.positional.size();
    if (given) value = arguments.positional[i];
    for (const auto& [name, named] : arguments.named) {
      if (name == parameters[i].name) value = named, given = true;
    }
    // A default may name the parameters before it.
    if (!given && parameters[i].value) value = evaluate(*parameters[i].value);
    inside.variables.emplace_back(parameters[i].name, std::move(value));
  }
  for (const auto& [name, value] : arguments.named) {
    const bool known = std::any_of(parameters.begin(), parameters.end(),
                                   [&](const auto& parameter) { return parameter.name == name; });
    if (name == "caller" && !known) {
      inside.variables.emplace_back(name, value);
    } else if (!known) {
      runtime_.fail(str(macro.name, "() has no parameter ", name));
    }
  }
  MarkedText text = captured(macro.body, {});
  scope_ = outside;
  --call_depth_;
  return make_text(std::move(text));
}

Value Interpreter::call_caller(int64_t id, const Arguments& arguments) {
  for (const Caller& caller : callers_) {
    if (caller.id == id) return call_macro(*caller.block, arguments, caller.scope);
  }
  return runtime_.fail("caller() is called after its {% call %} block has ended");
}

Value Interpreter::call_global(const std::string& name, const Arguments& arguments) {
  if (name == "range") return range(arguments);
  if (name == "strftime_now") return strftime_now(arguments);
  if (name == "raise_exception") {
    const Bound bound(runtime_, arguments, {"message"});
    return runtime_.fail(runtime_.printed(bound[0]).flat());
  }
  if (!arguments.positional.empty()) {
    return runtime_.fail(str(name, "() takes named arguments only"));
  }
  if (name == "dict") {
    std::vector<DictItem> items;
    for (const auto& [key, value] : arguments.named) items.push_back({key, value, false});
    return runtime_.dict(std::move(items));
  }
  const Value space = runtime_.new_namespace();
  if (runtime_.ok()) (*space.as<Value::Namespace>())->items = arguments.named;
  return space;
}

Value Interpreter::range(const Arguments& arguments) {
  const Bound bound(runtime_, arguments, {"start", "stop", "step"});
  const int64_t first = bound.has(1) ? bound.integer(0, 0) : 0;
  const int64_t end = bound.has(1) ? bound.integer(1, 0) : bound.integer(0, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) return runtime_.fail("the step of a range is 0");
  std::vector<Value> items;
  for (int64_t i = first; step > 0 ? i < end : i > end;) {
    if (items.size() > kMaxItems) return runtime_.fail(str("a range of more than ", kMaxItems));
    items.push_back(Value{i});
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return runtime_.list(std::move(items));
}

Value Interpreter::strftime_now(const Arguments& arguments) {
  const Bound bound(runtime_, arguments, {"format"});
  const std::string format = bound.text(0, "");
  const std::time_t seconds = std::chrono::system_clock::to_time_t(runtime_.now());
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, kMaxTimeBytes> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  if (size == 0 && !format.empty()) return runtime_.fail("a time of too many bytes");
  const auto* text = bound[0].as<Value::Text>();
  return runtime_.text(std::string_view(buffer.data(), size),
                       text != nullptr && (*text)->has_user_text());
}

}  // namespace sluice::jinja
