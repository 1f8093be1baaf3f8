// ExpressionParser: the half of the parser that stands inside tags.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/jinja/ast.h"
#include "server/text/jinja/token_cursor.h"

namespace sluice::jinja {

// Recursive descent. Precedence is Jinja's, loosest first:
//   a if b else c . or . and . not . == != < <= > >= in . + - . ~ . * / // % . ** . unary + - .
//   "." [] () . | is
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : cursor_(cursor) {}

  ExpressionPtr expression();
  // Without `a if b else c`, as Jinja wants it in {% for %}; with commas, a tuple.
  ExpressionPtr iterated();
  // An expression, or several with commas: a tuple.
  ExpressionPtr tuple_or_expression();
  // x | f | g, after `value` and at the first |.
  ExpressionPtr filters_of(ExpressionPtr value);
  // f | g of a block's body.
  ExpressionPtr filters_of_body(int line, bool after_bar);

 private:
  using Kind = Expression::Kind;

  template <typename... Operands>
  ExpressionPtr make(Kind kind, int line, std::string name, Operands... operands) {
    std::vector<ExpressionPtr> list;
    (list.push_back(std::move(operands)), ...);
    return make_node(kind, line, std::move(name), std::move(list));
  }
  ExpressionPtr make_node(Kind kind, int line, std::string name,
                          std::vector<ExpressionPtr> operands);
  ExpressionPtr literal(int line, Value value);
  ExpressionPtr fail(int line, const std::string& what);
  void check_depth(Expression& node, const Expression& child);

  ExpressionPtr tuple(ExpressionPtr first, ExpressionPtr (ExpressionParser::*item)());
  ExpressionPtr or_expression();
  ExpressionPtr and_expression();
  ExpressionPtr not_expression();
  ExpressionPtr comparison();
  ExpressionPtr sum() { return chain({"+", "-"}, &ExpressionParser::concatenation); }
  ExpressionPtr concatenation() { return chain({"~"}, &ExpressionParser::product); }
  ExpressionPtr product() { return chain({"*", "/", "//", "%"}, &ExpressionParser::power); }
  ExpressionPtr power() { return chain({"**"}, &ExpressionParser::unary); }
  ExpressionPtr unary();
  ExpressionPtr signed_operand();
  ExpressionPtr with_postfixes(ExpressionPtr value);
  ExpressionPtr attribute(ExpressionPtr value, int line);
  ExpressionPtr subscript(ExpressionPtr value, int line);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  void test_arguments(Expression& node);
  void arguments(Expression& node);  // up to and with the closing bracket
  ExpressionPtr primary();
  ExpressionPtr parenthesis(int line);
  ExpressionPtr list_literal(int line);
  ExpressionPtr dict_literal(int line);
  ExpressionPtr name(int line);

  // Left-associative: operand (operator operand)*.
  ExpressionPtr chain(std::initializer_list<std::string_view> operators,
                      ExpressionPtr (ExpressionParser::*operand)());
  // The comparison at hand, consumed: an operator, "in" or "not in"; else empty.
  std::string accept_comparison();

  TokenCursor& cursor_;
  int depth_ = 0;
};

}  // namespace sluice::jinja
