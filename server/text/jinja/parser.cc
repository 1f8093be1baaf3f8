// Statements of the template language, and the texts between them.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/text.h"
#include "server/text/jinja/ast.h"
#include "server/text/jinja/expression_parser.h"
#include "server/text/jinja/lexer.h"
#include "server/text/jinja/token_cursor.h"
#include "server/text/utf8.h"

namespace sluice::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : cursor_(std::move(tokens)), expressions_(cursor_) {}

  Result<Template> run() {
    Block body = block({});
    if (!cursor_.ok()) return cursor_.status();
    return Template(std::move(body));
  }

 private:
  // Statements up to a tag whose name is one of `ends`, where the cursor stays; the last of them
  // ends the block for good. None: up to the end of the template.
  Block block(std::initializer_list<std::string_view> ends) {
    const Descent descent(cursor_, depth_, kMaxTreeDepth);
    Block statements;
    const int first_line = cursor_.peek().line;
    while (cursor_.ok()) {
      const Token& token = cursor_.next();
      if (token.kind == Token::Kind::kEnd) {
        if (ends.size() == 0) break;
        cursor_.fail(first_line, str("{% ", *(ends.end() - 1), " %} is missing"));
      } else if (token.kind == Token::Kind::kText) {
        Statement& text = statements.emplace_back();
        text.line = token.line;
        text.text = token.text;
      } else if (token.kind == Token::Kind::kOutputBegin) {
        Statement& output = statements.emplace_back();
        output.kind = Statement::Kind::kOutput;
        output.line = token.line;
        output.expression = expressions_.tuple_or_expression();
        cursor_.expect(Token::Kind::kOutputEnd, "'}}'");
      } else if (std::any_of(ends.begin(), ends.end(),
                             [&](std::string_view end) { return cursor_.at_name(end); })) {
        break;
      } else {
        statements.push_back(tag());
      }
    }
    return statements;
  }

  // The body up to {% END %}, which is consumed.
  Block body_until(std::string_view end) {
    cursor_.expect_block_end();
    Block body = block({end});
    cursor_.next();
    return body;
  }

  Statement tag() {
    Statement statement;
    statement.line = cursor_.peek().line;
    const std::string name = cursor_.expect_name("a statement");
    if (name == "if") {
      if_statement(statement);
    } else if (name == "for") {
      for_statement(statement);
    } else if (name == "set") {
      set_statement(statement);
    } else if (name == "macro") {
      macro_statement(statement);
    } else if (name == "call") {
      call_statement(statement);
    } else if (name == "filter") {
      statement.kind = Statement::Kind::kFilter;
      statement.expression = expressions_.filters_of_body(statement.line, /*after_bar=*/false);
      statement.body = body_until("endfilter");
    } else if (name == "generation") {
      statement.kind = Statement::Kind::kScope;
      statement.body = body_until("endgeneration");
    } else if (name == "with") {
      with_statement(statement);
    } else if (name == "break" || name == "continue") {
      statement.kind = name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
      if (loops_ == 0) cursor_.fail(statement.line, str("{% ", name, " %} outside of a loop"));
    } else if (name == "else" || name == "elif" || name.starts_with("end")) {
      cursor_.fail(statement.line, str("{% ", name, " %} does not belong here"));
    } else {
      cursor_.fail(statement.line, str("the statement {% ", name, " %} is not supported"));
    }
    cursor_.expect_block_end();
    return statement;
  }

  void if_statement(Statement& statement) {
    statement.kind = Statement::Kind::kIf;
    do {
      Statement::Branch branch;
      branch.condition = expressions_.tuple_or_expression();
      cursor_.expect_block_end();
      branch.body = block({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
    } while (cursor_.accept_name("elif"));
    if (cursor_.accept_name("else")) {
      cursor_.expect_block_end();
      statement.branches.push_back({nullptr, block({"endif"})});
    }
    cursor_.next();  // endif
  }

  // a, b or (a, b)
  std::vector<std::string> targets(const char* role) {
    const bool bracket = cursor_.accept_operator("(");
    std::vector<std::string> names = {cursor_.expect_name(role)};
    while (cursor_.accept_operator(",")) {
      if (!cursor_.at(Token::Kind::kName)) break;
      names.push_back(cursor_.expect_name(role));
    }
    if (bracket) cursor_.expect_operator(")");
    return names;
  }

  void for_statement(Statement& statement) {
    statement.kind = Statement::Kind::kFor;
    statement.names = targets("a loop variable");
    if (!cursor_.accept_name("in")) cursor_.fail_here("'in'");
    statement.expression = expressions_.iterated();
    if (cursor_.accept_name("if")) statement.condition = expressions_.expression();
    statement.recursive = cursor_.accept_name("recursive");
    cursor_.expect_block_end();
    ++loops_;
    statement.body = block({"else", "endfor"});
    --loops_;
    if (cursor_.accept_name("else")) {
      cursor_.expect_block_end();
      statement.otherwise = block({"endfor"});
    }
    cursor_.next();  // endfor
  }

  void set_statement(Statement& statement) {
    statement.kind = Statement::Kind::kSet;
    statement.names = targets("a variable");
    if (statement.names.size() == 1 && cursor_.accept_operator(".")) {
      statement.attribute = cursor_.expect_name("an attribute");
    }
    const bool filtered = cursor_.at_operator("|");
    if (!filtered && !cursor_.at(Token::Kind::kBlockEnd)) {
      cursor_.expect_operator("=");
      statement.expression = expressions_.tuple_or_expression();
      return;
    }
    statement.kind = Statement::Kind::kSetBlock;
    if (statement.names.size() != 1 || !statement.attribute.empty()) {
      return cursor_.fail(statement.line, "{% set %} of several names needs a value");
    }
    if (filtered) statement.expression = expressions_.filters_of_body(statement.line, true);
    statement.body = body_until("endset");
  }

  void parameters(Statement& statement) {
    cursor_.expect_operator("(");
    while (cursor_.ok() && !cursor_.at_operator(")")) {
      Statement::Parameter parameter{cursor_.expect_name("a parameter"), nullptr};
      if (cursor_.accept_operator("=")) parameter.value = expressions_.expression();
      statement.parameters.push_back(std::move(parameter));
      if (!cursor_.accept_operator(",")) break;
    }
    cursor_.expect_operator(")");
  }

  // Its body sees the template's own variables and its parameters.
  void macro_statement(Statement& statement) {
    statement.kind = Statement::Kind::kMacro;
    if (loops_ > 0 || macros_ > 0) {
      return cursor_.fail(statement.line, "{% macro %} inside a loop or macro is not supported");
    }
    statement.name = cursor_.expect_name("a macro");
    parameters(statement);
    ++macros_;
    statement.body = body_until("endmacro");
    --macros_;
  }

  void call_statement(Statement& statement) {
    statement.kind = Statement::Kind::kCall;
    if (cursor_.at_operator("(")) parameters(statement);
    statement.expression = expressions_.expression();
    if (cursor_.ok() && statement.expression->kind != Expression::Kind::kCall) {
      return cursor_.fail(statement.line, "{% call %} needs a call");
    }
    const int loops = std::exchange(loops_, 0);
    statement.body = body_until("endcall");
    loops_ = loops;
  }

  void with_statement(Statement& statement) {
    statement.kind = Statement::Kind::kWith;
    while (cursor_.ok() && !cursor_.at(Token::Kind::kBlockEnd)) {
      Statement::Parameter parameter{cursor_.expect_name("a variable"), nullptr};
      cursor_.expect_operator("=");
      parameter.value = expressions_.expression();
      statement.parameters.push_back(std::move(parameter));
      if (!cursor_.accept_operator(",")) break;
    }
    statement.body = body_until("endwith");
  }

  TokenCursor cursor_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loops_ = 0;   // open ones that a break may leave
  int macros_ = 0;  // open ones
};

}  // namespace

Result<Template> parse(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return invalid_argument(
        str("the template has ", source.size(), " bytes; the limit is ", kMaxTemplateBytes));
  }
  if (const auto at = find_invalid_utf8(source)) {
    return invalid_argument(str("the template is not valid UTF-8 at byte ", *at));
  }
  Result<std::vector<Token>> tokens = tokenize(source);
  if (!tokens.ok()) return tokens.status();
  return Parser(std::move(tokens).value()).run();
}

}  // namespace sluice::jinja
