// One entry for everything under server/text.
#include "text_inputs.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/answer/answer_parser.h"
#include "server/text/chat_template.h"
#include "server/text/detokenizer.h"
#include "server/text/hf/tokenizer_json.h"
#include "server/text/prompt_pieces.h"
#include "server/text/stop_matcher.h"
#include "server/text/tokenizer_config.h"
#include "server/text/utf8.h"
#include "tests/server/text/fake_tokenizer.h"

namespace sluice {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// The text up to the first stop string, by its definition.
std::string cut_at_stop(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      const bool ends_here = std::string_view(text).substr(0, end).ends_with(stop);
      if (ends_here) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

void stream_text(std::string_view input) {
  const size_t border = std::min(input.find('\0'), input.size());
  std::vector<std::string> stops;
  for (const std::string& stop : split(input.substr(0, border), '\1')) {
    stops.push_back(to_valid_utf8(stop));
  }
  const std::vector<std::string> pieces = split(input.substr(border), '\1');
  const FakeTokenizer tokenizer(pieces, 0);
  Detokenizer detokenizer(tokenizer, true, false);
  StopMatcher matcher(stops, false);

  std::string bytes, sent;
  bool stopped = false;
  for (size_t i = 0; i < pieces.size() && !stopped; ++i) {
    std::string added;
    detokenizer.push(static_cast<TokenId>(i), added);
    require(!find_invalid_utf8(added));
    stopped = matcher.push(added, true, sent);
  }
  for (const std::string& piece : pieces) bytes += piece;
  if (!stopped) {
    std::string added;
    detokenizer.finish(added);
    stopped = matcher.push(added, true, sent);
    if (!stopped) matcher.finish(sent);
  }
  require(sent == cut_at_stop(to_valid_utf8(bytes), stops));
}

void render_template(std::string_view input) {
  const size_t border = std::min(input.find('\0'), input.size());
  const std::string_view source = input.substr(0, border);
  const std::string content = to_valid_utf8(input.substr(std::min(border + 1, input.size())));
  const Result<ChatTemplate> compiled = ChatTemplate::compile(source);
  if (!compiled.ok()) return;
  const FakeTokenizer tokenizer = FakeTokenizer::bytes({"<s>", "<|im_end|>"});
  const auto chat = compiled->render({{"user", content, "<s>"}}, {}, tokenizer);
  if (!chat.ok()) return;
  // A template that cannot write '<' writes no control token, whatever the user says.
  if (source.find_first_of("<\\") != std::string_view::npos) return;
  for (const PromptPiece& piece : chat->pieces) require(!piece.control);
}

void load_tokenizer(std::string_view bytes) {
  const auto tokenizer = parse_sentencepiece(bytes, "f", {});
  if (!tokenizer.ok()) return;
  const Tokenizer& loaded = *tokenizer.value();
  for (const TokenId id : loaded.encode("a <|im_end|>\n\xE4\xB8\xAD \xF0\x9F\x99\x82 b")) {
    require(id >= 0 && id < loaded.vocab_size());
  }
  for (TokenId id = 0; id < std::min(loaded.vocab_size(), 1000); ++id) {
    require(!find_invalid_utf8(decode(loaded, {id, id}, false)));
  }
}

void check_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<PromptPiece> pieces;
  append_trusted(text, tokenizer, pieces);
  for (const auto& ids : {tokenizer.encode(text), tokenizer.encode(pieces)}) {
    for (const TokenId id : ids) require(id >= 0 && id < tokenizer.vocab_size());
    require(!find_invalid_utf8(decode(tokenizer, ids, false)));
    const size_t most = tokenizer.max_bytes_per_token();
    require(most == 0 || ids.size() * most >= text.size());
  }
}

void load_tokenizer_file(std::string_view input) {
  const size_t border = std::min(input.find('\0'), input.size());
  const std::string text = to_valid_utf8(input.substr(std::min(border + 1, input.size())));
  const auto loaded = parse_tokenizer_json(input.substr(0, border), "f");
  if (!loaded.ok()) return require(loaded.status().message().starts_with("f: "));
  try {
    check_tokens(*loaded->tokenizer, text);
  } catch (const InternalError&) {
    // A pattern that explodes ends at its limit, and so does the request.
  }
}

// Reasoning, text and calls, each joined: what a client that reads a stream puts together.
std::string take_apart(const AnswerParserOptions& options, const std::vector<std::string>& pieces) {
  AnswerParser parser(options);
  AnswerParts parts;
  std::string out;
  auto kind = AnswerPart::Kind::kText;
  const auto take = [&] {
    for (const AnswerPart& part : parts.take()) {
      require(!find_invalid_utf8(part.text));
      require(part.kind == AnswerPart::Kind::kCall || part.name.empty());
      if (part.kind != kind || !part.name.empty()) out += static_cast<char>(part.kind);
      kind = part.kind;
      out += part.name + part.text;
    }
  };
  for (const std::string& piece : pieces) {
    parser.push(piece, parts);
    take();
  }
  parser.finish(parts);
  take();
  return out;
}

void read_answer(std::string_view input) {
  if (input.empty()) return;
  const auto choice = static_cast<unsigned char>(input.front());
  constexpr const char* kCalls[] = {"", "hermes", "mistral", "llama3_json", "pythonic"};
  constexpr const char* kReasoning[] = {"", "qwen3", "deepseek_r1", "granite"};
  AnswerParserOptions options;
  options.calls = find_call_syntax(kCalls[choice % 5]);
  options.reasoning = find_reasoning_syntax(kReasoning[choice / 5 % 4]);
  options.reasoning_opened = choice / 20 % 2 == 1;
  options.parallel_calls = choice / 40 % 2 == 0;
  options.tools = {"f"};
  std::vector<std::string> pieces = split(input.substr(1), '\1');
  std::string whole;
  for (std::string& piece : pieces) {
    piece = to_valid_utf8(piece);
    whole += piece;
  }
  require(take_apart(options, pieces) == take_apart(options, {whole}));
}

}  // namespace

void read_text_input(std::span<const std::byte> input) {
  if (input.empty()) return;
  const std::string_view rest(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  switch (std::to_integer<char>(input[0])) {
    case 'd':
      return stream_text(rest);
    case 'a':
      return read_answer(rest);
    case 'j':
      return render_template(rest);
    case 'm':
      return load_tokenizer(rest);
    case 't':
      return load_tokenizer_file(rest);
    case 'c': {
      const auto config = parse_tokenizer_config(rest, "f");
      return require(config.ok() || config.status().message().starts_with("f"));
    }
    default:
      return;
  }
}

}  // namespace sluice
