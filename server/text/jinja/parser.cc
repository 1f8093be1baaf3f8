// Statements of the template language, and the texts between them.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/text.h"
#include "server/text/jinja/ast.h"
#include "server/text/jinja/expression_parser.h"
#include "server/text/jinja/lexer.h"
#include "server/text/jinja/token_cursor.h"

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
        output.expression = expressions_.expression();
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
    } else if (name == "else" || name == "elif" || name == "endif" || name == "endfor") {
      cursor_.fail(statement.line, str("{% ", name, " %} does not belong here"));
    } else {
      cursor_.fail(statement.line, str("the statement {% ", name, " %} is not supported"));
    }
    return statement;
  }

  void if_statement(Statement& statement) {
    statement.kind = Statement::Kind::kIf;
    do {
      Statement::Branch branch;
      branch.condition = expressions_.expression();
      cursor_.expect_block_end();
      branch.body = block({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
    } while (cursor_.accept_name("elif"));
    if (cursor_.accept_name("else")) {
      cursor_.expect_block_end();
      statement.branches.push_back({nullptr, block({"endif"})});
    }
    cursor_.next();  // endif
    cursor_.expect_block_end();
  }

  void for_statement(Statement& statement) {
    statement.kind = Statement::Kind::kFor;
    const auto refuse = [&](const char* how) {
      cursor_.fail(statement.line, str("{% for %} ", how, " is not supported"));
    };
    statement.name = cursor_.expect_name("a loop variable");
    if (cursor_.at_operator(",")) refuse("with several names");
    if (!cursor_.accept_name("in")) cursor_.fail_here("'in'");
    statement.expression = expressions_.or_expression();
    if (cursor_.at_name("if")) refuse("with a condition");
    if (cursor_.at_name("recursive")) refuse("recursive");
    cursor_.expect_block_end();
    statement.body = block({"else", "endfor"});
    if (cursor_.accept_name("else")) {
      cursor_.expect_block_end();
      statement.otherwise = block({"endfor"});
    }
    cursor_.next();  // endfor
    cursor_.expect_block_end();
  }

  void set_statement(Statement& statement) {
    statement.kind = Statement::Kind::kSet;
    const auto refuse = [&](const char* how) {
      cursor_.fail(statement.line, str("{% set %} ", how, " is not supported"));
    };
    statement.name = cursor_.expect_name("a variable");
    if (cursor_.at_operator(".")) refuse("of an attribute");
    if (cursor_.at_operator(",")) refuse("of several names");
    if (cursor_.at(Token::Kind::kBlockEnd) || cursor_.at_operator("|")) refuse("with a body");
    cursor_.expect_operator("=");
    statement.expression = expressions_.expression();
    cursor_.expect_block_end();
  }

  TokenCursor cursor_;
  ExpressionParser expressions_;
  int depth_ = 0;
};

}  // namespace

Result<Template> parse(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return invalid_argument(
        str("the template has ", source.size(), " bytes; the limit is ", kMaxTemplateBytes));
  }
  Result<std::vector<Token>> tokens = tokenize(source);
  if (!tokens.ok()) return tokens.status();
  return Parser(std::move(tokens).value()).run();
}

}  // namespace sluice::jinja
