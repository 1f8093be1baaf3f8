// TokenCursor: the place in the tokens that both halves of the parser share, and the first failure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/text.h"
#include "server/text/jinja/lexer.h"

namespace sluice::jinja {

// After the first failure the cursor stands at the end of the tokens, so that every parsing
// function returns soon; what it returns is then not used.
class TokenCursor {
 public:
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek() const { return tokens_[at_]; }
  const Token& peek_second() const { return at_ + 1 < tokens_.size() ? tokens_[at_ + 1] : peek(); }
  bool second_is_operator(std::string_view text) const {
    return peek_second().kind == Token::Kind::kOperator && peek_second().text == text;
  }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  void fail(int line, const std::string& what) {
    if (status_.ok()) status_ = invalid_argument(str("line ", line, ": ", what));
    at_ = tokens_.size() - 1;
  }
  void fail_here(const std::string& expected) {
    fail(peek().line, str("expected ", expected, ", found ", shown()));
  }

  bool at(Token::Kind kind) const { return peek().kind == kind; }
  bool at_operator(std::string_view text) const {
    return at(Token::Kind::kOperator) && peek().text == text;
  }
  bool at_name(std::string_view text) const {
    return at(Token::Kind::kName) && peek().text == text;
  }
  bool accept_operator(std::string_view text) {
    if (!at_operator(text)) return false;
    next();
    return true;
  }
  bool accept_name(std::string_view text) {
    if (!at_name(text)) return false;
    next();
    return true;
  }

  void expect_operator(std::string_view text) {
    if (!accept_operator(text)) fail_here(str("'", text, "'"));
  }
  void expect_block_end() { expect(Token::Kind::kBlockEnd, "'%}'"); }
  void expect(Token::Kind kind, const char* shown_as) {
    if (!at(kind)) return fail_here(shown_as);
    next();
  }
  std::string expect_name(const char* role) {
    if (at(Token::Kind::kName)) return next().text;
    fail_here(str("the name of ", role));
    return {};
  }

 private:
  std::string shown() const {
    switch (peek().kind) {
      case Token::Kind::kEnd:
        return "the end of the template";
      case Token::Kind::kOutputEnd:
        return "'}}'";
      case Token::Kind::kBlockEnd:
        return "'%}'";
      case Token::Kind::kInteger:
        return str(peek().integer);
      case Token::Kind::kFloat:
        return str(peek().number);
      default:
        return str("'", peek().text, "'");
    }
  }

  std::vector<Token> tokens_;  // the last one is kEnd
  size_t at_ = 0;
  Status status_;
};

// Counts the parser's own recursion while it lives; past kMaxTreeDepth the cursor fails.
class Descent {
 public:
  Descent(TokenCursor& cursor, int& depth, int limit) : depth_(depth) {
    if (++depth_ > limit) {
      cursor.fail(cursor.peek().line, str("nested deeper than ", limit, " levels"));
    }
  }
  ~Descent() { --depth_; }
  Descent(const Descent&) = delete;
  Descent& operator=(const Descent&) = delete;

 private:
  int& depth_;
};

}  // namespace sluice::jinja
