// The parsed template: expressions and statements, as plain trees of bounded depth.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
    kSlice,      // operands[0][operands[1]:operands[2]:operands[3]]; undefined: left out
    kList,       // [operands...]
    kTuple,      // (operands...)
    kDict,       // {operands[0]: operands[1], operands[2]: ...}
    kCall,       // operands[0](operands[1...], named)
    kFilter,     // operands[0] | name(operands[1...], named)
    kTest,       // operands[0] is name(operands[1...], named)
    kNot,        // not operands[0]
    kNegate,     // - operands[0]
    kBinary,     // operands[0] name operands[1]; name: an operator
    kCompare,    // operands[0] names[0] operands[1] names[1] operands[2] ...
    kAnd,        // operands[0] and operands[1], which is evaluated only if needed; as is kOr's
    kOr,
    kChoose,  // operands[1] if operands[0] else operands[2]
  };
  Kind kind = Kind::kLiteral;
  int line = 0;
  int depth = 1;  // of this tree
  std::string name;
  std::vector<std::string> names;
  Value literal;
  std::vector<std::unique_ptr<Expression>> operands;  // none is null
  std::vector<std::pair<std::string, std::unique_ptr<Expression>>> named;
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind {
    kText,      // text
    kOutput,    // {{ expression }}
    kSet,       // {% set names = expression %}; {% set name.attribute = expression %}
    kSetBlock,  // {% set name %} body {% endset %}; expression: filters of the body, or null
    kIf,        // branches, the first whose condition holds
    kFor,       // {% for names in expression if condition %} body {% else %} otherwise
    kMacro,     // {% macro name(parameters) %} body
    kCall,      // {% call(parameters) expression %} body
    kFilter,    // {% filter ... %} body; expression: filters of the body
    kScope,     // {% generation %} body: nothing but a scope
    kWith,      // {% with parameters %} body
    kBreak,
    kContinue,
  };
  struct Branch {
    ExpressionPtr condition;  // null: else
    Block body;
  };
  struct Parameter {
    std::string name;
    ExpressionPtr value;  // a default, or null
  };
  Kind kind = Kind::kText;
  int line = 0;
  std::string text;
  std::string name;
  std::string attribute;
  std::vector<std::string> names;
  ExpressionPtr expression;
  ExpressionPtr condition;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Block body;
  Block otherwise;
  bool recursive = false;
};

// The name under which an expression that filters a block's body finds it.
inline constexpr const char* kBodyName = " body";

class Template {
 public:
  explicit Template(Block body) : body_(std::move(body)) {}
  const Block& body() const { return body_; }

 private:
  Block body_;
};

// Source to tree. Syntax, statements, filters and tests that the language has and this engine does
// not are refused here, by their name and line, not at somebody's request.
Result<Template> parse(std::string_view source);

}  // namespace sluice::jinja
