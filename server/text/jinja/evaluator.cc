// A tree walk. Names are looked up from the innermost loop outwards; {% set %} binds in the scope
// where it stands, so what a loop sets ends with its turn, as in Jinja.
#include "server/text/jinja/evaluator.h"

#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "server/text/jinja/filters.h"

namespace sluice::jinja {
namespace {

using Kind = Expression::Kind;

// After the first failure every function returns quickly; its result is then not used.
class Evaluator {
 public:
  explicit Evaluator(const Variables& variables) : scopes_{variables} {}

  Result<MarkedText> run(const Block& body) {
    execute(body);
    if (!status_.ok()) return status_;
    return std::move(output_);
  }

 private:
  bool ok() const { return status_.ok(); }
  Value fail(int line, const std::string& what) {
    if (status_.ok()) status_ = invalid_argument(str("line ", line, ": ", what));
    return {};
  }
  void count_step(int line) {
    if (++steps_ > kMaxSteps) fail(line, str("more than ", kMaxSteps, " steps"));
  }
  // A text made by an operation: counted, so that a short template cannot ask for endless copies.
  Value made(int line, MarkedText text) {
    intermediate_bytes_ += text.size();
    if (intermediate_bytes_ > kMaxIntermediateBytes) {
      return fail(line, str("more than ", kMaxIntermediateBytes, " bytes of text on the way"));
    }
    return make_text(std::move(text));
  }

  // ---- statements ----

  void execute(const Block& block) {
    for (const Statement& statement : block) {
      if (!ok()) return;
      count_step(statement.line);
      execute(statement);
    }
  }

  void execute(const Statement& statement) {
    switch (statement.kind) {
      case Statement::Kind::kText:
        return put(statement.line, MarkedText(statement.text, /*from_user=*/false));
      case Statement::Kind::kOutput: {
        const Value value = evaluate(*statement.expression);
        if (ok()) put(statement.line, printed(statement.line, value));
        return;
      }
      case Statement::Kind::kSet:
        return bind(statement.name, evaluate(*statement.expression));
      case Statement::Kind::kIf:
        for (const Statement::Branch& branch : statement.branches) {
          if (branch.condition && !truthy(evaluate(*branch.condition))) continue;
          return execute(branch.body);
        }
        return;
      case Statement::Kind::kFor:
        return loop(statement);
    }
  }

  void put(int line, const MarkedText& text) {
    if (output_.size() + text.size() > kMaxOutputBytes) {
      fail(line, str("the prompt has more than ", kMaxOutputBytes, " bytes"));
    }
    if (ok()) output_.append(text);
  }

  void bind(const std::string& name, Value value) {
    for (auto& [bound, old] : scopes_.back()) {
      if (bound == name) {
        old = std::move(value);
        return;
      }
    }
    scopes_.back().emplace_back(name, std::move(value));
  }

  void loop(const Statement& statement) {
    const Value iterated = evaluate(*statement.expression);
    if (!ok()) return;
    const std::vector<Value> items = items_of(statement.line, iterated);
    if (items.empty()) return execute(statement.otherwise);
    const auto count = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < count && ok(); ++i) {
      const Value position = make_dict({{"first", Value{i == 0}},
                                        {"last", Value{i == count - 1}},
                                        {"index", Value{i + 1}},
                                        {"index0", Value{i}},
                                        {"length", Value{count}}});
      scopes_.push_back({{statement.name, items[static_cast<size_t>(i)]}, {"loop", position}});
      execute(statement.body);
      scopes_.pop_back();
    }
  }

  std::vector<Value> items_of(int line, const Value& value) {
    if (const auto* list = value.as<Value::List>()) return **list;
    if (const auto* dict = value.as<Value::Dict>()) {
      std::vector<Value> keys;
      for (const auto& item : **dict) keys.push_back(make_text(item.first, false));
      return keys;
    }
    if (value.as<Value::Undefined>() == nullptr) {
      fail(line, str("cannot loop over a value of type ", type_name(value)));
    }
    return {};
  }

  MarkedText printed(int line, const Value& value) {
    if (const auto* text = value.as<Value::Text>()) return **text;
    if (const bool* flag = value.as<bool>()) return {*flag ? "True" : "False", false};
    if (const int64_t* number = value.as<int64_t>()) return {str(*number), false};
    if (value.as<Value::None>() != nullptr) return {"None", false};
    if (value.as<Value::Undefined>() == nullptr) {
      fail(line, str("a value of type ", type_name(value), " cannot be printed; use tojson"));
    }
    return {};
  }

  // ---- expressions ----

  Value evaluate(const Expression& node) {
    count_step(node.line);
    if (!ok()) return {};
    switch (node.kind) {
      case Kind::kLiteral:
        return node.literal;
      case Kind::kName:
        return look_up(node.name);
      case Kind::kList:
        return make_list(evaluate_all(node, 0));
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
    if (!ok()) return {};
    switch (node.kind) {
      case Kind::kAttribute:
        return attribute(node, first);
      case Kind::kSubscript:
        return subscript(node, first, evaluate(*node.operands[1]));
      case Kind::kRaise:
        return fail(node.line, printed(node.line, first).flat());
      case Kind::kFilter:
        return filter(node, first);
      case Kind::kTest:
        return Value{find_test(node.name)->holds(first)};
      case Kind::kNegate:
        return arithmetic(node, "-", Value{int64_t{0}}, first);
      case Kind::kBinary:
        return binary(node, first, evaluate(*node.operands[1]));
      default:
        break;
    }
    SLUICE_CHECK(!"an expression of unknown kind");
    return {};
  }

  std::vector<Value> evaluate_all(const Expression& node, size_t from) {
    std::vector<Value> values;
    for (size_t i = from; i < node.operands.size(); ++i) {
      values.push_back(evaluate(*node.operands[i]));
    }
    return values;
  }

  Value look_up(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      for (const auto& [bound, value] : *scope) {
        if (bound == name) return value;
      }
    }
    return {Value::Undefined{name}};
  }

  Value attribute(const Expression& node, const Value& object) {
    if (const auto* undefined = object.as<Value::Undefined>()) {
      return fail(node.line, str("'", undefined->name, "' is undefined"));
    }
    if (const auto* dict = object.as<Value::Dict>()) {
      if (const Value* item = find(*dict, node.name)) return *item;
    }
    return {Value::Undefined{node.name}};
  }

  Value subscript(const Expression& node, const Value& object, const Value& index) {
    if (!ok()) return {};
    if (const auto* undefined = object.as<Value::Undefined>()) {
      return fail(node.line, str("'", undefined->name, "' is undefined"));
    }
    const auto* dict = object.as<Value::Dict>();
    const auto* key = index.as<Value::Text>();
    if (dict != nullptr && key != nullptr) {
      const std::string name = (*key)->flat();
      if (const Value* item = find(*dict, name)) return *item;
      return {Value::Undefined{name}};
    }
    const auto* list = object.as<Value::List>();
    const auto* position = index.as<int64_t>();
    if (list != nullptr && position != nullptr) {
      const auto size = static_cast<int64_t>((*list)->size());
      const int64_t at = *position < 0 ? *position + size : *position;
      if (at >= 0 && at < size) return (**list)[static_cast<size_t>(at)];
      return {Value::Undefined{str("item ", *position)}};
    }
    return fail(node.line, str("a value of type ", type_name(object),
                               " has no items by a value of type ", type_name(index)));
  }

  Value filter(const Expression& node, const Value& value) {
    const std::vector<Value> arguments = evaluate_all(node, 1);
    if (!ok()) return {};
    Result<Value> result = find_filter(node.name)->apply(value, arguments);
    if (!result.ok()) return fail(node.line, result.status().message());
    const auto* text = result->as<Value::Text>();
    return text == nullptr ? std::move(result).value() : made(node.line, **text);
  }

  Value binary(const Expression& node, const Value& a, const Value& b) {
    if (!ok()) return {};
    const std::string& operation = node.name;
    if (operation == "==") return Value{equal(a, b)};
    if (operation == "!=") return Value{!equal(a, b)};
    if (operation == "in") return contains(node, b, a);
    if (operation == "~") {
      MarkedText text = printed(node.line, a);
      text.append(printed(node.line, b));
      return made(node.line, std::move(text));
    }
    const auto* text_a = a.as<Value::Text>();
    const auto* text_b = b.as<Value::Text>();
    const bool is_order = operation[0] == '<' || operation[0] == '>';
    if (text_a != nullptr && text_b != nullptr && is_order) {
      return order(operation, (*text_a)->flat().compare((*text_b)->flat()));
    }
    if (text_a != nullptr && text_b != nullptr && operation == "+") {
      MarkedText text = **text_a;
      text.append(**text_b);
      return made(node.line, std::move(text));
    }
    return arithmetic(node, operation, a, b);
  }

  static Value order(const std::string& operation, int64_t difference) {
    if (operation == "<") return Value{difference < 0};
    if (operation == "<=") return Value{difference <= 0};
    if (operation == ">") return Value{difference > 0};
    return Value{difference >= 0};
  }

  Value contains(const Expression& node, const Value& container, const Value& item) {
    if (const auto* list = container.as<Value::List>()) {
      for (const Value& candidate : **list) {
        if (equal(candidate, item)) return Value{true};
      }
      return Value{false};
    }
    const auto* text = item.as<Value::Text>();
    if (const auto* dict = container.as<Value::Dict>()) {
      return Value{text != nullptr && find(*dict, (*text)->flat()) != nullptr};
    }
    if (const auto* whole = container.as<Value::Text>(); whole != nullptr && text != nullptr) {
      return Value{(*whole)->flat().find((*text)->flat()) != std::string::npos};
    }
    if (container.as<Value::Undefined>() != nullptr) return Value{false};
    return fail(node.line, str("'in' cannot look for a value of type ", type_name(item),
                               " in one of type ", type_name(container)));
  }

  // On two integers; anything else is refused.
  Value arithmetic(const Expression& node, const std::string& operation, const Value& a,
                   const Value& b) {
    const auto* left = a.as<int64_t>();
    const auto* right = b.as<int64_t>();
    for (const Value* operand : {&a, &b}) {
      if (const auto* undefined = operand->as<Value::Undefined>()) {
        return fail(node.line, str("'", undefined->name, "' is undefined"));
      }
    }
    if (left == nullptr || right == nullptr) {
      return fail(node.line, str("the operator ", operation, " cannot join values of type ",
                                 type_name(a), " and ", type_name(b)));
    }
    if (operation[0] == '<' || operation[0] == '>') {
      return order(operation, *left < *right ? -1 : *left > *right ? 1 : 0);
    }
    int64_t result = 0;
    bool overflow = false;
    if (operation == "+") {
      overflow = __builtin_add_overflow(*left, *right, &result);
    } else if (operation == "-") {
      overflow = __builtin_sub_overflow(*left, *right, &result);
    } else if (operation == "*") {
      overflow = __builtin_mul_overflow(*left, *right, &result);
    } else if (*right == 0) {
      return fail(node.line, "division by zero");
    } else if (*right == -1) {  // the one quotient that may overflow
      overflow = __builtin_sub_overflow(int64_t{0}, *left, &result);
      if (operation == "%") result = 0, overflow = false;
    } else {  // rounded down, as in Python
      const int64_t remainder = *left % *right;
      const bool below = remainder != 0 && (remainder < 0) != (*right < 0);
      result =
          operation == "%" ? remainder + (below ? *right : 0) : *left / *right - (below ? 1 : 0);
    }
    return overflow ? fail(node.line, "an integer of more than 64 bits") : Value{result};
  }

  std::vector<Variables> scopes_;  // innermost last
  MarkedText output_;
  Status status_;
  int64_t steps_ = 0;
  size_t intermediate_bytes_ = 0;
};

}  // namespace

Result<MarkedText> render(const Template& compiled, const Variables& variables) {
  return Evaluator(variables).run(compiled.body());
}

}  // namespace sluice::jinja
