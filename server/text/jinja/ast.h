// The parsed template: expressions and statements, as plain trees of bounded depth.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/jinja/value.h"

namespace sluice::jinja {

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
inline constexpr int kMaxTreeDepth = 200;  // of expressions and of nested statements

struct Expression {
  enum class Kind {
    kLiteral,    // literal
    kName,       // name
    kAttribute,  // operands[0].name
    kSubscript,  // operands[0][operands[1]]
    kList,       // [operands...]
    kRaise,      // raise_exception(operands[0])
    kFilter,     // operands[0] | name(operands[1...])
    kTest,       // operands[0] is name
    kNot,        // not operands[0]
    kNegate,     // - operands[0]
    kBinary,     // operands[0] name operands[1]; name: an operator, or "in"
    kAnd,        // operands[0] and operands[1], which is evaluated only if needed; as is kOr's
    kOr,
    kChoose,  // operands[1] if operands[0] else operands[2]
  };
  Kind kind = Kind::kLiteral;
  int line = 0;
  int depth = 1;  // of this tree
  std::string name;
  Value literal;
  std::vector<std::unique_ptr<Expression>> operands;  // none is null
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind {
    kText,    // text
    kOutput,  // {{ expression }}
    kSet,     // {% set name = expression %}
    kIf,      // branches, the first whose condition holds
    kFor,     // {% for name in expression %} body {% else %} otherwise
  };
  struct Branch {
    ExpressionPtr condition;  // null: else
    Block body;
  };
  Kind kind = Kind::kText;
  int line = 0;
  std::string text;
  std::string name;
  ExpressionPtr expression;
  std::vector<Branch> branches;
  Block body;
  Block otherwise;
};

class Template {
 public:
  explicit Template(Block body) : body_(std::move(body)) {}
  const Block& body() const { return body_; }

 private:
  Block body_;
};

// Source to tree. Syntax, filters, tests and functions that the language has and this engine does
// not are refused here, by their name and line, not at somebody's request.
Result<Template> parse(std::string_view source);

}  // namespace sluice::jinja
