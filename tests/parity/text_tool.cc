// text_tool tokenizer FILE: one JSON request a line on stdin, one JSON answer a line on stdout.
//
//   {"encode": "text"}    ids of plain text        {"trusted": "text"}  with control tokens in it
//   {"decode": [1, 2]}    the text, controls spelled
#include <iostream>
#include <string>

#include "server/text/detokenizer.h"
#include "server/text/hf/tokenizer_json.h"
#include "server/text/json_text.h"
#include "server/text/json_value.h"
#include "server/text/prompt_pieces.h"

namespace sluice {
namespace {

std::string ids_as_json(const std::vector<TokenId>& ids) {
  std::string out = "[";
  for (const TokenId id : ids) {
    if (out.size() > 1) out += ',';
    append_json(&out, int64_t{id});
  }
  return out + "]";
}

std::string answer(const JsonValue& request, const Tokenizer& tokenizer) {
  if (const JsonValue* text = request.find("encode")) {
    return ids_as_json(tokenizer.encode(*text->as_string()));
  }
  if (const JsonValue* text = request.find("trusted")) {
    std::vector<PromptPiece> pieces;
    append_trusted(*text->as_string(), tokenizer, pieces);
    return ids_as_json(tokenizer.encode(pieces));
  }
  std::vector<TokenId> ids;
  for (const JsonValue& id : *request.find("decode")->as_array()) {
    ids.push_back(static_cast<TokenId>(*id.as_integer()));
  }
  std::string out;
  append_json_string(&out, decode(tokenizer, ids, /*skip_control=*/false));
  return out;
}

int run_tokenizer(const char* path) {
  const Result<LoadedTokenizer> loaded = load_tokenizer_json(path);
  if (!loaded.ok()) {
    std::cerr << loaded.status().message() << "\n";
    return 1;
  }
  std::cout << "{\"prefix\":" << ids_as_json(loaded->prefix)
            << ",\"suffix\":" << ids_as_json(loaded->suffix) << "}\n";
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(JsonValue::parse(line).value(), *loaded->tokenizer) << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "tokenizer") return sluice::run_tokenizer(argv[2]);
  std::cerr << "usage: text_tool tokenizer FILE\n";
  return 2;
}
