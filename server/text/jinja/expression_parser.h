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
//   a if b else c . or . and . not . == != < <= > >= in . + - . ~ . * // % . unary - . "." [] | is
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : cursor_(cursor) {}

  ExpressionPtr expression();
  // Without `a if b else c`, as Jinja wants it in {% for %}.
  ExpressionPtr or_expression();

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

  ExpressionPtr and_expression();
  ExpressionPtr not_expression();
  ExpressionPtr comparison();
  ExpressionPtr sum() { return chain({"+", "-"}, &ExpressionParser::concatenation); }
  ExpressionPtr concatenation() { return chain({"~"}, &ExpressionParser::product); }
  ExpressionPtr product();
  ExpressionPtr unary();
  ExpressionPtr negated_operand();
  ExpressionPtr with_attributes(ExpressionPtr value);
  ExpressionPtr with_filters(ExpressionPtr value);
  ExpressionPtr attribute(ExpressionPtr value, int line);
  ExpressionPtr subscript(ExpressionPtr value, int line);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  ExpressionPtr primary();
  ExpressionPtr name(int line);
  ExpressionPtr integer();

  // Left-associative: operand (operator operand)*.
  ExpressionPtr chain(std::initializer_list<std::string_view> operators,
                      ExpressionPtr (ExpressionParser::*operand)());
  // The comparison at hand, consumed: an operator, "in" or "not in"; else empty.
  std::string accept_comparison();
  // Expressions up to the closing bracket, which is consumed.
  std::vector<ExpressionPtr> expressions_until(std::string_view bracket);

  TokenCursor& cursor_;
  int depth_ = 0;
};

}  // namespace sluice::jinja
