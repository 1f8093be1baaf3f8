// Statements.
#include "server/text/jinja/evaluator.h"

#include <utility>

#include "base/text.h"
#include "server/text/jinja/interpreter.h"

namespace sluice::jinja {

Interpreter::Interpreter(const Variables& variables, std::chrono::system_clock::time_point now)
    : runtime_(now), root_{variables, nullptr} {}

Result<MarkedText> Interpreter::run(const Block& body) {
  execute(body);
  if (!runtime_.ok()) return runtime_.status();
  return std::move(output_);
}

Interpreter::Flow Interpreter::execute(const Block& block) {
  for (const Statement& statement : block) {
    if (!runtime_.ok()) return Flow::kNext;
    runtime_.set_line(statement.line);
    runtime_.count_step();
    if (const Flow flow = execute(statement); flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  switch (statement.kind) {
    case Statement::Kind::kText:
      put(MarkedText(statement.text, /*from_user=*/false));
      break;
    case Statement::Kind::kOutput: {
      const Value value = evaluate(*statement.expression);
      if (runtime_.ok()) put(runtime_.printed(value));
      break;
    }
    case Statement::Kind::kSet:
      set(statement);
      break;
    case Statement::Kind::kSetBlock:
      bind(statement.names[0], filtered_body(statement, captured(statement.body, {})));
      break;
    case Statement::Kind::kIf:
      return execute_if(statement);
    case Statement::Kind::kFor:
      loop(statement, evaluate(*statement.expression), 1);
      break;
    case Statement::Kind::kMacro:
      define_macro(statement);
      break;
    case Statement::Kind::kCall:
      call_block(statement);
      break;
    case Statement::Kind::kFilter:
      put(runtime_.printed(filtered_body(statement, captured(statement.body, {}))));
      break;
    case Statement::Kind::kScope:
      return execute_scoped(statement.body, {});
    case Statement::Kind::kWith:
      with(statement);
      break;
    case Statement::Kind::kBreak:
      return Flow::kBreak;
    case Statement::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_if(const Statement& statement) {
  for (const Statement::Branch& branch : statement.branches) {
    if (branch.condition && !truthy(evaluate(*branch.condition))) continue;
    return runtime_.ok() ? execute(branch.body) : Flow::kNext;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_scoped(const Block& body, Variables variables) {
  Scope scope{std::move(variables), scope_};
  scope_ = &scope;
  const Flow flow = execute(body);
  scope_ = scope.outer;
  return flow;
}

MarkedText Interpreter::captured(const Block& body, Variables variables) {
  MarkedText outer = std::exchange(output_, MarkedText());
  execute_scoped(body, std::move(variables));
  MarkedText inner = std::exchange(output_, std::move(outer));
  runtime_.may_make_text(inner.size());
  return inner;
}

void Interpreter::put(const MarkedText& text) {
  if (output_.size() + text.size() > kMaxOutputBytes) {
    runtime_.fail(str("the prompt has more than ", kMaxOutputBytes, " bytes"));
  }
  if (runtime_.ok()) output_.append(text);
}

void Interpreter::bind(const std::string& name, Value value) {
  for (auto& [bound, old] : scope_->variables) {
    if (bound == name) {
      old = std::move(value);
      return;
    }
  }
  scope_->variables.emplace_back(name, std::move(value));
}

// One name gets the value, several its items.
void Interpreter::bind_all(const std::vector<std::string>& names, const Value& value,
                           Variables& variables) {
  if (names.size() == 1) {
    variables.emplace_back(names[0], value);
    return;
  }
  std::vector<Value> items = runtime_.items_of(value);
  if (items.size() != names.size()) {
    runtime_.fail(str(items.size(), " values for ", names.size(), " names"));
    return;
  }
  for (size_t i = 0; i < names.size(); ++i) variables.emplace_back(names[i], std::move(items[i]));
}

void Interpreter::set(const Statement& statement) {
  const Value value = evaluate(*statement.expression);
  if (!runtime_.ok()) return;
  if (statement.attribute.empty()) {
    Variables bound;
    bind_all(statement.names, value, bound);
    for (auto& [name, item] : bound) bind(name, std::move(item));
    return;
  }
  const Value target = look_up(statement.names[0]);
  const auto* space = target.as<Value::Namespace>();
  if (space == nullptr) {
    runtime_.fail("attributes of a namespace() can be set, and of nothing else");
    return;
  }
  for (auto& [name, old] : (*space)->items) {
    if (name == statement.attribute) {
      old = value;
      return;
    }
  }
  (*space)->items.emplace_back(statement.attribute, value);
}

void Interpreter::define_macro(const Statement& statement) {
  bind(statement.name, {std::make_shared<const FunctionData>(
                           FunctionData{statement.name, std::nullopt, &statement, 0})});
}

void Interpreter::with(const Statement& statement) {
  Variables variables;
  for (const Statement::Parameter& parameter : statement.parameters) {
    variables.emplace_back(parameter.name, evaluate(*parameter.value));
  }
  execute_scoped(statement.body, std::move(variables));
}

void Interpreter::call_block(const Statement& statement) {
  const int64_t id = ++num_callers_;
  callers_.push_back({id, &statement, scope_});
  Arguments given = arguments(*statement.expression);
  given.named.emplace_back("caller", Value{std::make_shared<const FunctionData>(
                                         FunctionData{"caller", std::nullopt, nullptr, id})});
  const Value result = call(evaluate(*statement.expression->operands[0]), given);
  callers_.pop_back();
  if (runtime_.ok()) put(runtime_.printed(result));
}

Value Interpreter::filtered_body(const Statement& statement, MarkedText body) {
  Value value = make_text(std::move(body));
  if (!statement.expression || !runtime_.ok()) return value;
  Scope scope{{{kBodyName, value}}, scope_};
  scope_ = &scope;
  value = evaluate(*statement.expression);
  scope_ = scope.outer;
  return value;
}

std::vector<Value> Interpreter::loop_items(const Statement& statement, const Value& iterated) {
  std::vector<Value> items = runtime_.items_of(iterated);
  if (!statement.condition) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    Scope scope{{}, scope_};
    bind_all(statement.names, item, scope.variables);
    scope_ = &scope;
    const bool wanted = truthy(evaluate(*statement.condition));
    scope_ = scope.outer;
    if (!runtime_.ok()) return {};
    if (wanted) kept.push_back(std::move(item));
  }
  return kept;
}

void Interpreter::loop(const Statement& statement, const Value& iterated, int depth) {
  if (!runtime_.ok()) return;
  auto position = std::make_shared<LoopData>();
  position->items = loop_items(statement, iterated);
  position->depth = depth;
  position->recursive = statement.recursive ? &statement : nullptr;
  if (!runtime_.ok()) return;
  if (position->items.empty()) {
    execute_scoped(statement.otherwise, {});
    return;
  }
  for (size_t i = 0; i < position->items.size() && runtime_.ok(); ++i) {
    position->index = i;
    Variables variables = {{"loop", Value{Value::Loop(position)}}};
    bind_all(statement.names, position->items[i], variables);
    if (execute_scoped(statement.body, std::move(variables)) == Flow::kBreak) return;
    runtime_.count_step();
  }
}

Result<MarkedText> render(const Template& compiled, const Variables& variables,
                          std::chrono::system_clock::time_point now) {
  return Interpreter(variables, now).run(compiled.body());
}

}  // namespace sluice::jinja
