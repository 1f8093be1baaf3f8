// Expressions.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "server/text/jinja/filters.h"
#include "server/text/jinja/interpreter.h"
#include "server/text/jinja/operators.h"
#include "server/text/jinja/tests.h"

namespace sluice::jinja {
namespace {

using Kind = Expression::Kind;

constexpr int kMaxRecursion = 1000;  // of evaluate(): what an 8 MiB stack holds many times over

}  // namespace

Value Interpreter::evaluate(const Expression& node) {
  runtime_.set_line(node.line);
  runtime_.count_step();
  if (depth_ >= kMaxRecursion) runtime_.fail(str("nested deeper than ", kMaxRecursion, " levels"));
  if (!runtime_.ok()) return {};
  ++depth_;
  Value value = evaluate_operation(node);
  --depth_;
  return value;
}

Value Interpreter::evaluate_operation(const Expression& node) {
  switch (node.kind) {
    case Kind::kLiteral:
      return node.literal;
    case Kind::kName:
      return look_up(node.name);
    case Kind::kList:
      return runtime_.list(evaluate_all(node, 0));
    case Kind::kTuple:
      return runtime_.list(evaluate_all(node, 0), ListKind::kTuple);
    case Kind::kDict:
      return dict_literal(node);
    case Kind::kNot:
      return Value{!truthy(evaluate(*node.operands[0]))};
    case Kind::kChoose:
      return evaluate(*node.operands[truthy(evaluate(*node.operands[0])) ? 1 : 2]);
    case Kind::kAnd:
    case Kind::kOr: {
      Value left = evaluate(*node.operands[0]);
      const bool decided = truthy(left) == (node.kind == Kind::kOr);
      return decided ? left : evaluate(*node.operands[1]);
    }
    default:
      break;
  }
  const Value first = evaluate(*node.operands[0]);
  if (node.kind != Kind::kAttribute) runtime_.count_work(first);
  if (!runtime_.ok()) return {};
  switch (node.kind) {
    case Kind::kAttribute:
      return runtime_.attribute(first, node.name);
    case Kind::kSubscript:
      return runtime_.subscript(first, evaluate(*node.operands[1]));
    case Kind::kSlice: {
      const std::vector<Value> borders = evaluate_all(node, 1);
      return slice(runtime_, first, borders[0], borders[1], borders[2]);
    }
    case Kind::kCall:
      return call(first, arguments(node));
    case Kind::kFilter: {
      const Arguments given = arguments(node);
      return runtime_.ok() ? find_filter(node.name)->apply(runtime_, first, given) : Value();
    }
    case Kind::kTest: {
      const Arguments given = arguments(node);
      return Value{runtime_.ok() && find_test(node.name)->holds(runtime_, first, given)};
    }
    case Kind::kNegate:
      return negated(runtime_, first);
    case Kind::kBinary:
      return binary(runtime_, node.name, first, evaluate(*node.operands[1]));
    case Kind::kCompare:
      return comparison(node, first);
    default:
      break;
  }
  SLUICE_CHECK(!"an expression of unknown kind");
  return {};
}

std::vector<Value> Interpreter::evaluate_all(const Expression& node, size_t from) {
  std::vector<Value> values;
  for (size_t i = from; i < node.operands.size(); ++i) {
    values.push_back(evaluate(*node.operands[i]));
  }
  return values;
}

Arguments Interpreter::arguments(const Expression& node) {
  Arguments given{evaluate_all(node, 1), {}};
  for (const auto& [name, value] : node.named) given.named.emplace_back(name, evaluate(*value));
  return given;
}

// a < b < c: each pair of neighbours, up to the first that does not hold.
Value Interpreter::comparison(const Expression& node, Value first) {
  for (size_t i = 0; i < node.names.size(); ++i) {
    Value second = evaluate(*node.operands[i + 1]);
    runtime_.count_work(second);
    if (!relates(runtime_, node.names[i], first, second)) return Value{false};
    first = std::move(second);
  }
  return Value{true};
}

Value Interpreter::dict_literal(const Expression& node) {
  std::vector<DictItem> items;
  for (size_t i = 0; i + 1 < node.operands.size(); i += 2) {
    const Value key = evaluate(*node.operands[i]);
    const auto* text = key.as<Value::Text>();
    if (text == nullptr)
      return runtime_.fail("keys of mappings other than strings are not supported");
    DictItem item{(*text)->flat(), evaluate(*node.operands[i + 1]), (*text)->has_user_text()};
    const auto same = std::find_if(items.begin(), items.end(),
                                   [&](const DictItem& old) { return old.key == item.key; });
    if (same == items.end()) {
      items.push_back(std::move(item));
    } else {
      same->value = std::move(item.value);
    }
  }
  return runtime_.dict(std::move(items));
}

}  // namespace sluice::jinja
