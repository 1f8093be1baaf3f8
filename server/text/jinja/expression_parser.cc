// Expressions of the template language; what it has and we have not is refused by its name.
#include "server/text/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/text/jinja/filters.h"

namespace sluice::jinja {
namespace {

// The names that `loop` has here; a template that asks for another is refused.
constexpr std::array<std::string_view, 5> kLoopNames = {"first", "last", "index", "index0",
                                                        "length"};

std::string call_refusal(const Expression& callee) {
  switch (callee.kind) {
    case Expression::Kind::kName:
      return str("the function ", callee.name, "() is not supported");
    case Expression::Kind::kAttribute:
      return str("the method .", callee.name, "() is not supported");
    default:
      return "calling a value is not supported";
  }
}

}  // namespace

ExpressionPtr ExpressionParser::make_node(Kind kind, int line, std::string name,
                                          std::vector<ExpressionPtr> operands) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  node->name = std::move(name);
  for (const ExpressionPtr& operand : operands) {
    node->depth = std::max(node->depth, operand->depth + 1);
  }
  node->operands = std::move(operands);
  // Chains such as a + b + c + … grow deep without recursion of the parser.
  if (node->depth > kMaxTreeDepth) {
    cursor_.fail(line, str("nested deeper than ", kMaxTreeDepth, " levels"));
  }
  return node;
}

ExpressionPtr ExpressionParser::literal(int line, Value value) {
  ExpressionPtr node = make(Kind::kLiteral, line, {});
  node->literal = std::move(value);
  return node;
}

ExpressionPtr ExpressionParser::fail(int line, const std::string& what) {
  cursor_.fail(line, what);
  return make(Kind::kLiteral, line, {});
}

ExpressionPtr ExpressionParser::expression() {
  const Descent descent(cursor_, depth_, kMaxTreeDepth);
  ExpressionPtr value = or_expression();
  while (cursor_.at_name("if")) {
    const int line = cursor_.next().line;
    ExpressionPtr condition = or_expression();
    ExpressionPtr otherwise =
        cursor_.accept_name("else") ? expression() : make(Kind::kLiteral, line, {});  // undefined
    value =
        make(Kind::kChoose, line, {}, std::move(condition), std::move(value), std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::or_expression() {
  ExpressionPtr left = and_expression();
  while (cursor_.at_name("or")) {
    const int line = cursor_.next().line;
    left = make(Kind::kOr, line, {}, std::move(left), and_expression());
  }
  return left;
}

ExpressionPtr ExpressionParser::and_expression() {
  ExpressionPtr left = not_expression();
  while (cursor_.at_name("and")) {
    const int line = cursor_.next().line;
    left = make(Kind::kAnd, line, {}, std::move(left), not_expression());
  }
  return left;
}

ExpressionPtr ExpressionParser::not_expression() {
  const Descent descent(cursor_, depth_, kMaxTreeDepth);
  if (!cursor_.at_name("not")) return comparison();
  const int line = cursor_.next().line;
  return make(Kind::kNot, line, {}, not_expression());
}

std::string ExpressionParser::accept_comparison() {
  static constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<=", ">=", "<", ">"};
  for (const std::string_view text : kOperators) {
    if (cursor_.accept_operator(text)) return std::string(text);
  }
  if (cursor_.accept_name("in")) return "in";
  if (!cursor_.at_name("not") || cursor_.peek_second().text != "in") return {};
  cursor_.next();
  cursor_.next();
  return "not in";
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr left = sum();
  const int line = cursor_.peek().line;
  const std::string operation = accept_comparison();
  if (operation.empty()) return left;
  const bool negated = operation == "not in";
  ExpressionPtr result =
      make(Kind::kBinary, line, negated ? "in" : operation, std::move(left), sum());
  if (negated) result = make(Kind::kNot, line, {}, std::move(result));
  if (accept_comparison().empty()) return result;
  return fail(line, "chained comparisons are not supported: write a < b and b < c");
}

ExpressionPtr ExpressionParser::chain(std::initializer_list<std::string_view> operators,
                                      ExpressionPtr (ExpressionParser::*operand)()) {
  const auto at_one = [&] {
    return std::any_of(operators.begin(), operators.end(),
                       [&](std::string_view text) { return cursor_.at_operator(text); });
  };
  ExpressionPtr left = (this->*operand)();
  while (at_one()) {
    const Token& token = cursor_.next();
    left = make(Kind::kBinary, token.line, token.text, std::move(left), (this->*operand)());
  }
  return left;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr result = chain({"*", "//", "%"}, &ExpressionParser::unary);
  for (const char* text : {"/", "**"}) {
    if (cursor_.at_operator(text)) {
      return fail(cursor_.peek().line, str("the operator ", text, " is not supported"));
    }
  }
  return result;
}

// As in Jinja, filters apply to -x as a whole, attributes to x.
ExpressionPtr ExpressionParser::unary() { return with_filters(negated_operand()); }

ExpressionPtr ExpressionParser::negated_operand() {
  const Descent descent(cursor_, depth_, kMaxTreeDepth);
  if (!cursor_.at_operator("-")) return with_attributes(primary());
  const int line = cursor_.next().line;
  return make(Kind::kNegate, line, {}, negated_operand());
}

ExpressionPtr ExpressionParser::with_attributes(ExpressionPtr value) {
  while (cursor_.ok()) {
    const int line = cursor_.peek().line;
    if (cursor_.accept_operator(".")) {
      value = attribute(std::move(value), line);
    } else if (cursor_.accept_operator("[")) {
      value = subscript(std::move(value), line);
    } else if (cursor_.at_operator("(")) {
      return fail(line, call_refusal(*value));
    } else {
      break;
    }
  }
  return value;
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr value, int line) {
  if (cursor_.at(Token::Kind::kInteger)) {
    return make(Kind::kSubscript, line, {}, std::move(value), integer());
  }
  std::string name = cursor_.expect_name("an attribute");
  const bool of_loop = value->kind == Kind::kName && value->name == "loop";
  if (of_loop && std::find(kLoopNames.begin(), kLoopNames.end(), name) == kLoopNames.end()) {
    return fail(line, str("loop.", name, " is not supported"));
  }
  return make(Kind::kAttribute, line, std::move(name), std::move(value));
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value, int line) {
  ExpressionPtr index = cursor_.at_operator(":") ? make(Kind::kLiteral, line, {}) : expression();
  if (cursor_.at_operator(":")) return fail(line, "slices ([a:b]) are not supported");
  cursor_.expect_operator("]");
  return make(Kind::kSubscript, line, {}, std::move(value), std::move(index));
}

ExpressionPtr ExpressionParser::with_filters(ExpressionPtr value) {
  while (cursor_.ok()) {
    if (cursor_.accept_operator("|")) {
      value = filter(std::move(value));
    } else if (cursor_.at_name("is")) {
      value = test(std::move(value));
    } else {
      break;
    }
  }
  return value;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  const int line = cursor_.peek().line;
  const std::string name = cursor_.expect_name("a filter");
  if (!cursor_.ok()) return value;
  const Filter* known = find_filter(name);
  if (known == nullptr) return fail(line, str("the filter ", name, " is not supported"));
  std::vector<ExpressionPtr> operands;
  operands.push_back(std::move(value));
  if (cursor_.accept_operator("(")) {
    for (ExpressionPtr& argument : expressions_until(")")) operands.push_back(std::move(argument));
  }
  if (operands.size() - 1 > known->max_arguments) {
    return fail(line, str("the filter ", name, " with more than ", known->max_arguments,
                          " arguments is not supported"));
  }
  return make_node(Kind::kFilter, line, name, std::move(operands));
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const int line = cursor_.next().line;
  const bool negated = cursor_.accept_name("not");
  const std::string name = cursor_.expect_name("a test");
  if (find_test(name) == nullptr) return fail(line, str("the test ", name, " is not supported"));
  ExpressionPtr result = make(Kind::kTest, line, name, std::move(value));
  return negated ? make(Kind::kNot, line, {}, std::move(result)) : std::move(result);
}

std::vector<ExpressionPtr> ExpressionParser::expressions_until(std::string_view bracket) {
  std::vector<ExpressionPtr> list;
  while (cursor_.ok() && !cursor_.at_operator(bracket)) {
    list.push_back(expression());
    if (cursor_.at_operator("=")) {
      cursor_.fail(cursor_.peek().line, "named arguments are not supported");
    }
    if (!cursor_.accept_operator(",")) break;
  }
  cursor_.expect_operator(bracket);
  return list;
}

ExpressionPtr ExpressionParser::primary() {
  const int line = cursor_.peek().line;
  if (cursor_.at(Token::Kind::kInteger)) return integer();
  if (cursor_.at(Token::Kind::kName)) return name(line);
  if (cursor_.at(Token::Kind::kString)) {
    std::string text;  // neighbouring strings are one
    while (cursor_.at(Token::Kind::kString)) text += cursor_.next().text;
    return literal(line, make_text(text, /*from_user=*/false));
  }
  if (cursor_.accept_operator("(")) {
    ExpressionPtr inner = expression();
    if (cursor_.at_operator(",")) return fail(line, "tuples are not supported");
    cursor_.expect_operator(")");
    return inner;
  }
  if (cursor_.accept_operator("[")) {
    return make_node(Kind::kList, line, {}, expressions_until("]"));
  }
  if (cursor_.at_operator("{")) return fail(line, "mapping literals ({...}) are not supported");
  cursor_.fail_here("a value");
  return make(Kind::kLiteral, line, {});
}

ExpressionPtr ExpressionParser::integer() {
  const Token& token = cursor_.next();
  return literal(token.line, Value{token.integer});
}

ExpressionPtr ExpressionParser::name(int line) {
  std::string text = cursor_.next().text;
  if (text == "true" || text == "True") return literal(line, Value{true});
  if (text == "false" || text == "False") return literal(line, Value{false});
  if (text == "none" || text == "None") return literal(line, Value{Value::None{}});
  if (text == "raise_exception" && cursor_.accept_operator("(")) {
    ExpressionPtr message = expression();
    cursor_.expect_operator(")");
    return make(Kind::kRaise, line, {}, std::move(message));
  }
  return make(Kind::kName, line, std::move(text));
}

}  // namespace sluice::jinja
