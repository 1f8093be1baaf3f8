// One JSON request a line on stdin, one JSON answer a line on stdout.
//
// text_tool tokenizer FILE
//   {"encode": "text"}    ids of plain text        {"trusted": "text"}  with control tokens in it
//   {"decode": [1, 2]}    the text, controls spelled
// text_tool template
//   {"template": "...", "messages": [...], "tools": [...], "variables": {...}, "now": seconds,
//    "add_generation_prompt": true, "continue_final_message": false}
//                         {"text": "..."} or {"error": "..."}
#include <iostream>
#include <string>

#include "server/text/chat_template.h"
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

// A tokenizer without control tokens: a rendered prompt is one piece of text.
class PlainText final : public Tokenizer {
 public:
  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<PromptPiece>&) const override { return {}; }
  std::string_view bytes_of(TokenId, bool) const override { return {}; }
  bool adds_leading_space() const override { return false; }
  size_t max_bytes_per_token() const override { return 0; }
  int vocab_size() const override { return 0; }
  std::optional<TokenId> control_id(std::string_view) const override { return std::nullopt; }
  std::optional<TokenId> control_at(std::string_view, size_t*) const override {
    return std::nullopt;
  }
  std::string spelling(TokenId) const override { return {}; }
  bool is_control(TokenId) const override { return false; }
};

TemplateMessage message_of(const JsonValue& json, JsonValue& more) {
  TemplateMessage message;
  message.has_content = false;
  JsonValue::Object rest;
  for (const auto& [key, value] : *json.as_object()) {
    if (key == "role") {
      message.role = *value.as_string();
    } else if (key == "content" && value.as_string() != nullptr) {
      message.content = *value.as_string();
      message.has_content = true;
    } else if (key != "content") {
      rest.emplace_back(key, value);
    }
  }
  more = JsonValue(std::move(rest));
  message.more = &more;
  return message;
}

Result<RenderedChat> render(const JsonValue& request) {
  const Result<ChatTemplate> compiled =
      ChatTemplate::compile(*request.find("template")->as_string());
  if (!compiled.ok()) return compiled.status();
  const JsonValue::Array& list = *request.find("messages")->as_array();
  std::vector<JsonValue> more(list.size());
  std::vector<TemplateMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) messages.push_back(message_of(list[i], more[i]));
  ChatTemplateOptions options{.bos_token = "<s>", .eos_token = "</s>"};
  options.add_generation_prompt = *request.find("add_generation_prompt")->as_bool();
  options.continue_final_message = *request.find("continue_final_message")->as_bool();
  options.variables = request.find("variables");
  options.now = std::chrono::system_clock::from_time_t(*request.find("now")->as_integer());
  const JsonValue* tools = request.find("tools");
  options.tools = tools->is_null() ? nullptr : tools;
  return compiled->render(messages, options, PlainText());
}

int run_templates() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto chat = render(JsonValue::parse(line).value());
    std::string text;
    if (chat.ok()) {
      for (const PromptPiece& piece : chat->pieces) text += piece.text;
    }
    std::string out = chat.ok() ? "{\"text\":" : "{\"error\":";
    append_json_string(&out, chat.ok() ? text : chat.status().message());
    std::cout << out << "}\n";
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "tokenizer") return sluice::run_tokenizer(argv[2]);
  if (argc == 2 && std::string_view(argv[1]) == "template") return sluice::run_templates();
  std::cerr << "usage: text_tool tokenizer FILE | text_tool template\n";
  return 2;
}
