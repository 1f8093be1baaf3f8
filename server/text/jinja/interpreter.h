// Interpreter: a walk over the trees of a template. Statements in evaluator.cc, expressions in
// expressions.cc, calls in calls.cc.
#pragma once

#include <string>
#include <vector>

#include "server/text/jinja/evaluator.h"

namespace sluice::jinja {

class Interpreter {
 public:
  Interpreter(const Variables& variables, std::chrono::system_clock::time_point now);
  Result<MarkedText> run(const Block& body);

 private:
  // Names are looked up from the innermost scope outwards; {% set %} binds in the scope where it
  // stands, so what a loop sets ends with its turn, as in Jinja. Scopes live on the stack.
  struct Scope {
    Variables variables;
    Scope* outer = nullptr;
  };
  // A {% call %} block that may be called now.
  struct Caller {
    int64_t id;
    const Statement* block;
    Scope* scope;
  };
  enum class Flow { kNext, kBreak, kContinue };

  // ---- statements ----
  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow execute_if(const Statement& statement);
  // Runs `body` in a scope of its own.
  Flow execute_scoped(const Block& body, Variables variables);
  // The same; the output is the result.
  MarkedText captured(const Block& body, Variables variables);
  void set(const Statement& statement);
  void bind(const std::string& name, Value value);
  void bind_all(const std::vector<std::string>& names, const Value& value, Variables& variables);
  void define_macro(const Statement& statement);
  void call_block(const Statement& statement);
  void with(const Statement& statement);
  Value filtered_body(const Statement& statement, MarkedText body);
  void loop(const Statement& statement, const Value& iterated, int depth);
  std::vector<Value> loop_items(const Statement& statement, const Value& iterated);
  void put(const MarkedText& text);

  // ---- expressions ----
  Value evaluate(const Expression& node);
  Value evaluate_operation(const Expression& node);
  std::vector<Value> evaluate_all(const Expression& node, size_t from);
  Arguments arguments(const Expression& node);
  Value look_up(const std::string& name) const;
  Value comparison(const Expression& node, Value first);
  Value dict_literal(const Expression& node);

  // ---- calls ----
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const Statement& macro, const Arguments& arguments, Scope* scope);
  Value call_caller(int64_t id, const Arguments& arguments);
  Value call_global(const std::string& name, const Arguments& arguments);
  Value range(const Arguments& arguments);
  Value strftime_now(const Arguments& arguments);

  Runtime runtime_;
  Scope root_;
  Scope* scope_ = &root_;
  MarkedText output_;
  std::vector<Caller> callers_;
  int64_t num_callers_ = 0;
  int call_depth_ = 0;
  int depth_ = 0;  // of our own recursion
};

}  // namespace sluice::jinja
