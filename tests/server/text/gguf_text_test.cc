#include "server/text/gguf_text.h"

#include <gtest/gtest.h>

#include "server/text/detokenizer.h"
#include "server/text/hf/hf_tokenizer.h"

namespace sluice {
namespace {

using Ids = std::vector<TokenId>;

// The 256 bytes, "he", and two control tokens.
GgufHeader byte_level() {
  GgufHeader header;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(to_byte_letters(std::string(1, static_cast<char>(byte))));
  }
  tokens.insert(tokens.end(), {"he", "<|im_start|>", "<|im_end|>"});
  std::vector<int64_t> types(tokens.size(), 1);
  types[257] = types[258] = 3;
  header.metadata["tokenizer.ggml.model"] = std::string("gpt2");
  header.metadata["tokenizer.ggml.pre"] = std::string("smollm");
  header.metadata["tokenizer.ggml.tokens"] = tokens;
  header.metadata["tokenizer.ggml.token_type"] = types;
  header.metadata["tokenizer.ggml.merges"] = std::vector<std::string>{"h e"};
  header.metadata["tokenizer.ggml.bos_token_id"] = int64_t{257};
  header.metadata["tokenizer.ggml.add_bos_token"] = false;
  header.metadata["tokenizer.chat_template"] = std::string("{{ bos_token }}");
  return header;
}

GgufHeader sentencepiece() {
  GgufHeader header;
  header.metadata["tokenizer.ggml.model"] = std::string("llama");
  header.metadata["tokenizer.ggml.tokens"] =
      std::vector<std::string>{"<unk>", "<s>", "▁", "a", "b", "ab"};
  header.metadata["tokenizer.ggml.scores"] = std::vector<double>{0, 0, -3, -1, -2, -0.5};
  header.metadata["tokenizer.ggml.token_type"] = std::vector<int64_t>{2, 3, 1, 1, 1, 1};
  header.metadata["tokenizer.ggml.bos_token_id"] = int64_t{1};
  return header;
}

TEST(GgufText, ByteLevelTokensCutAsTheNamedModelDoes) {
  const auto text = read_gguf_text(byte_level(), "m.gguf");
  ASSERT_TRUE(text.ok()) << text.status().message();
  const Tokenizer& tokenizer = *text->tokenizer.tokenizer;
  EXPECT_EQ(tokenizer.encode("he12"), (Ids{256, '1', '2'}));
  EXPECT_EQ(decode(tokenizer, {256, 257}, false), "he<|im_start|>");
  EXPECT_TRUE(tokenizer.is_control(258));
  EXPECT_EQ(text->config.bos_token, "<|im_start|>");
  EXPECT_EQ(text->config.add_bos_token, false);
  EXPECT_EQ(text->config.chat_templates.at(kDefaultTemplate), "{{ bos_token }}");
}

TEST(GgufText, ABeginningIsAddedWhereTheModelWantsOne) {
  GgufHeader header = byte_level();
  header.metadata.erase("tokenizer.ggml.add_bos_token");
  EXPECT_EQ(read_gguf_text(header, "m.gguf")->tokenizer.prefix, Ids{});
  header.metadata["tokenizer.ggml.pre"] = std::string("llama-bpe");
  EXPECT_EQ(read_gguf_text(header, "m.gguf")->tokenizer.prefix, Ids{257});
}

TEST(GgufText, SentencePieceTokensMergeByScore) {
  const auto text = read_gguf_text(sentencepiece(), "m.gguf");
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(text->tokenizer.tokenizer->encode("ab"), (Ids{2, 5}));
  EXPECT_EQ(text->tokenizer.prefix, Ids{1});
}

TEST(GgufText, HostileTokensAreRefusedInWords) {
  const auto refused = [](GgufHeader header, const char* key, GgufValue value, const char* words) {
    header.metadata[key] = std::move(value);
    const auto text = read_gguf_text(header, "m.gguf");
    ASSERT_FALSE(text.ok()) << key;
    EXPECT_NE(text.status().message().find(words), std::string::npos) << text.status().message();
  };
  using Texts = std::vector<std::string>;
  refused(byte_level(), "tokenizer.ggml.model", std::string("bert"), "\"bert\"; gpt2 and llama");
  refused(byte_level(), "tokenizer.ggml.pre", std::string("new"), "\"new\" (tokenizer.ggml.pre)");
  refused(byte_level(), "tokenizer.ggml.tokens", Texts{}, "missing, empty or too long");
  refused(byte_level(), "tokenizer.ggml.tokens", int64_t{7}, "missing, empty or too long");
  refused(byte_level(), "tokenizer.ggml.token_type", std::vector<int64_t>{1}, "1 types of tokens");
  refused(byte_level(), "tokenizer.ggml.merges", Texts{"h"}, "merge 0 is not two tokens");
  refused(byte_level(), "tokenizer.ggml.merges", Texts{"h q"}, "not in the vocabulary");
  refused(sentencepiece(), "tokenizer.ggml.scores", std::vector<double>{1}, "not one a token");
  refused(sentencepiece(), "tokenizer.ggml.token_type", std::vector<int64_t>{9, 9, 9, 9, 9, 9},
          "unknown type 9");
}

}  // namespace
}  // namespace sluice
