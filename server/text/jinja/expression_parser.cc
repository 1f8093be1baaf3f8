// Expressions of the template language; what it has and we have not is refused by its name.
#include "server/text/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/text/jinja/filters.h"
#include "server/text/jinja/tests.h"

namespace sluice::jinja {

ExpressionPtr ExpressionParser::make_node(Kind kind, int line, std::string name,
                                          std::vector<ExpressionPtr> operands) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  node->name = std::move(name);
  for (const ExpressionPtr& operand : operands) check_depth(*node, *operand);
  node->operands = std::move(operands);
  return node;
}

// Chains such as a + b + c + … grow deep without recursion of the parser.
void ExpressionParser::check_depth(Expression& node, const Expression& child) {
  node.depth = std::max(node.depth, child.depth + 1);
  if (node.depth > kMaxTreeDepth) {
    cursor_.fail(node.line, str("nested deeper than ", kMaxTreeDepth, " levels"));
  }
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

ExpressionPtr ExpressionParser::tuple(ExpressionPtr first,
                                      ExpressionPtr (ExpressionParser::*item)()) {
  const int line = first->line;
  std::vector<ExpressionPtr> items;
  items.push_back(std::move(first));
  while (cursor_.accept_operator(",")) {
    const bool ends = cursor_.at(Token::Kind::kBlockEnd) || cursor_.at(Token::Kind::kOutputEnd) ||
                      cursor_.at_operator(")");
    if (ends) break;
    items.push_back((this->*item)());
  }
  return make_node(Kind::kTuple, line, {}, std::move(items));
}

ExpressionPtr ExpressionParser::tuple_or_expression() {
  ExpressionPtr value = expression();
  return cursor_.at_operator(",") ? tuple(std::move(value), &ExpressionParser::expression)
                                  : std::move(value);
}

ExpressionPtr ExpressionParser::iterated() {
  ExpressionPtr value = or_expression();
  return cursor_.at_operator(",") ? tuple(std::move(value), &ExpressionParser::or_expression)
                                  : std::move(value);
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
  std::vector<std::string> operators;
  std::vector<ExpressionPtr> operands;
  for (std::string text = accept_comparison(); !text.empty(); text = accept_comparison()) {
    if (operands.empty()) operands.push_back(std::move(left));
    operators.push_back(std::move(text));
    operands.push_back(sum());
  }
  if (operands.empty()) return left;
  ExpressionPtr node = make_node(Kind::kCompare, line, {}, std::move(operands));
  node->names = std::move(operators);
  return node;
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

// As in Jinja, filters apply to -x as a whole, attributes to x.
ExpressionPtr ExpressionParser::unary() {
  ExpressionPtr value = signed_operand();
  while (cursor_.ok()) {
    const int line = cursor_.peek().line;
    if (cursor_.accept_operator("|")) {
      value = filter(std::move(value));
    } else if (cursor_.at_name("is")) {
      value = test(std::move(value));
    } else if (cursor_.accept_operator("(")) {
      value = make(Kind::kCall, line, {}, std::move(value));
      arguments(*value);
    } else {
      break;
    }
  }
  return value;
}

ExpressionPtr ExpressionParser::signed_operand() {
  const Descent descent(cursor_, depth_, kMaxTreeDepth);
  const int line = cursor_.peek().line;
  if (cursor_.accept_operator("-")) return make(Kind::kNegate, line, {}, signed_operand());
  if (cursor_.accept_operator("+")) return signed_operand();
  return with_postfixes(primary());
}

ExpressionPtr ExpressionParser::with_postfixes(ExpressionPtr value) {
  while (cursor_.ok()) {
    const int line = cursor_.peek().line;
    if (cursor_.accept_operator(".")) {
      value = attribute(std::move(value), line);
    } else if (cursor_.accept_operator("[")) {
      value = subscript(std::move(value), line);
    } else if (cursor_.accept_operator("(")) {
      value = make(Kind::kCall, line, {}, std::move(value));
      arguments(*value);
    } else {
      break;
    }
  }
  return value;
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr value, int line) {
  if (cursor_.at(Token::Kind::kInteger)) {
    ExpressionPtr index = literal(line, Value{cursor_.next().integer});
    return make(Kind::kSubscript, line, {}, std::move(value), std::move(index));
  }
  return make(Kind::kAttribute, line, cursor_.expect_name("an attribute"), std::move(value));
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value, int line) {
  std::vector<ExpressionPtr> operands;
  operands.push_back(std::move(value));
  bool slice = false;
  while (cursor_.ok()) {
    const bool left_out = cursor_.at_operator(":") || cursor_.at_operator("]");
    operands.push_back(left_out ? make(Kind::kLiteral, line, {}) : expression());
    if (operands.size() == 4 || !cursor_.accept_operator(":")) break;
    slice = true;
  }
  cursor_.expect_operator("]");
  while (slice && operands.size() < 4) operands.push_back(make(Kind::kLiteral, line, {}));
  return make_node(slice ? Kind::kSlice : Kind::kSubscript, line, {}, std::move(operands));
}

ExpressionPtr ExpressionParser::filters_of(ExpressionPtr value) {
  while (cursor_.ok() && cursor_.accept_operator("|")) value = filter(std::move(value));
  return value;
}

ExpressionPtr ExpressionParser::filters_of_body(int line, bool after_bar) {
  ExpressionPtr body = make(Kind::kName, line, kBodyName);
  return filters_of(after_bar ? std::move(body) : filter(std::move(body)));
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  const int line = cursor_.peek().line;
  const std::string name = cursor_.expect_name("a filter");
  if (!cursor_.ok()) return value;
  if (find_filter(name) == nullptr) {
    return fail(line, str("the filter ", name, " is not supported"));
  }
  ExpressionPtr node = make(Kind::kFilter, line, name, std::move(value));
  if (cursor_.accept_operator("(")) arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const int line = cursor_.next().line;
  const bool negated = cursor_.accept_name("not");
  const std::string name = cursor_.expect_name("a test");
  if (cursor_.ok() && find_test(name) == nullptr) {
    return fail(line, str("the test ", name, " is not supported"));
  }
  ExpressionPtr result = make(Kind::kTest, line, name, std::move(value));
  test_arguments(*result);
  return negated ? make(Kind::kNot, line, {}, std::move(result)) : std::move(result);
}

// `x is divisibleby 3` and `x is divisibleby(3)` are the same.
void ExpressionParser::test_arguments(Expression& node) {
  if (cursor_.accept_operator("(")) return arguments(node);
  const Token& token = cursor_.peek();
  const bool is_word = token.kind == Token::Kind::kName && token.text != "else" &&
                       token.text != "or" && token.text != "and" && token.text != "is" &&
                       token.text != "if" && token.text != "not" && token.text != "in" &&
                       token.text != "recursive";
  const bool is_value = token.kind == Token::Kind::kString || token.kind == Token::Kind::kInteger ||
                        token.kind == Token::Kind::kFloat || cursor_.at_operator("[") ||
                        cursor_.at_operator("{");
  if (!is_word && !is_value) return;
  node.operands.push_back(with_postfixes(primary()));
  check_depth(node, *node.operands.back());
}

void ExpressionParser::arguments(Expression& node) {
  while (cursor_.ok() && !cursor_.at_operator(")")) {
    const int line = cursor_.peek().line;
    if (cursor_.at_operator("*") || cursor_.at_operator("**")) {
      return cursor_.fail(line, "unpacked arguments (*a, **a) are not supported");
    }
    if (cursor_.at(Token::Kind::kName) && cursor_.second_is_operator("=")) {
      std::string name = cursor_.next().text;
      cursor_.next();
      node.named.emplace_back(std::move(name), expression());
      check_depth(node, *node.named.back().second);
    } else if (!node.named.empty()) {
      return cursor_.fail(line, "an argument without a name stands behind one with a name");
    } else {
      node.operands.push_back(expression());
      check_depth(node, *node.operands.back());
    }
    if (!cursor_.accept_operator(",")) break;
  }
  cursor_.expect_operator(")");
}

ExpressionPtr ExpressionParser::primary() {
  const int line = cursor_.peek().line;
  if (cursor_.at(Token::Kind::kInteger)) return literal(line, Value{cursor_.next().integer});
  if (cursor_.at(Token::Kind::kFloat)) return literal(line, Value{cursor_.next().number});
  if (cursor_.at(Token::Kind::kName)) return name(line);
  if (cursor_.at(Token::Kind::kString)) {
    std::string text;  // neighbouring strings are one
    while (cursor_.at(Token::Kind::kString)) text += cursor_.next().text;
    return literal(line, make_text(text, /*from_user=*/false));
  }
  if (cursor_.accept_operator("(")) return parenthesis(line);
  if (cursor_.accept_operator("[")) return list_literal(line);
  if (cursor_.accept_operator("{")) return dict_literal(line);
  cursor_.fail_here("a value");
  return make(Kind::kLiteral, line, {});
}

ExpressionPtr ExpressionParser::parenthesis(int line) {
  if (cursor_.accept_operator(")")) return make_node(Kind::kTuple, line, {}, {});
  ExpressionPtr inner = tuple_or_expression();
  cursor_.expect_operator(")");
  return inner;
}

ExpressionPtr ExpressionParser::list_literal(int line) {
  std::vector<ExpressionPtr> items;
  while (cursor_.ok() && !cursor_.at_operator("]")) {
    items.push_back(expression());
    if (!cursor_.accept_operator(",")) break;
  }
  cursor_.expect_operator("]");
  return make_node(Kind::kList, line, {}, std::move(items));
}

ExpressionPtr ExpressionParser::dict_literal(int line) {
  std::vector<ExpressionPtr> items;
  while (cursor_.ok() && !cursor_.at_operator("}")) {
    items.push_back(expression());
    cursor_.expect_operator(":");
    items.push_back(expression());
    if (!cursor_.accept_operator(",")) break;
  }
  cursor_.expect_operator("}");
  return make_node(Kind::kDict, line, {}, std::move(items));
}

ExpressionPtr ExpressionParser::name(int line) {
  std::string text = cursor_.next().text;
  if (text == "true" || text == "True") return literal(line, Value{true});
  if (text == "false" || text == "False") return literal(line, Value{false});
  if (text == "none" || text == "None") return literal(line, Value{Value::None{}});
  return make(Kind::kName, line, std::move(text));
}

}  // namespace sluice::jinja
