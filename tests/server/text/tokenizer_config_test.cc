#include "server/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

TEST(TokenizerConfig, ReadsTheEmbeddedModels) {
  const auto config = load_tokenizer_config(SLUICE_SOURCE_DIR "/models/sluice-tiny");
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->eos_token, "<|im_end|>");
  EXPECT_EQ(config->add_bos_token, false);
  EXPECT_FALSE(config->legacy);
  EXPECT_EQ(config->add_prefix_space, false);
  EXPECT_EQ(config->chat_templates.count(kDefaultTemplate), 1U);
}

TEST(TokenizerConfig, ReadsTokensAsObjectsAndNamedTemplates) {
  const auto config = parse_tokenizer_config(R"({
    "bos_token": {"content": "<s>", "lstrip": false},
    "unk_token": null,
    "added_tokens_decoder": {"7": {"content": "<turn>", "special": true},
                             "8": {"content": "<b>", "special": false}},
    "chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
  })",
                                             "t.json");
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->special_tokens, (std::vector<std::string>{"<turn>", "<s>"}));
  EXPECT_EQ(config->chat_templates.at("tool_use"), "B");
  EXPECT_FALSE(config->add_bos_token.has_value());
  EXPECT_TRUE(config->legacy);
}

TEST(TokenizerConfig, RefusesWrongTypesByFieldAndFile) {
  for (const char* json : {R"({"add_bos_token": "yes"})", R"({"add_bos_token": 1})"}) {
    const auto config = parse_tokenizer_config(json, "dir/t.json");
    ASSERT_FALSE(config.ok());
    EXPECT_NE(config.status().message().find("dir/t.json: add_bos_token"), std::string::npos)
        << config.status().message();
  }
  EXPECT_FALSE(parse_tokenizer_config(R"({"chat_template": [1]})", "t").ok());
  EXPECT_FALSE(parse_tokenizer_config(R"({"bos_token": {}})", "t").ok());
  EXPECT_FALSE(parse_tokenizer_config("[]", "t").ok());
  EXPECT_FALSE(parse_tokenizer_config("{", "t").ok());
}

TEST(TokenizerConfig, AJinjaFileIsTheDefaultTemplateAndNoFileIsRequired) {
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / "sluice_tokenizer_config_test";
  std::filesystem::create_directories(dir);
  std::filesystem::remove(dir / "chat_template.jinja");
  auto config = load_tokenizer_config(dir.string());
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->chat_templates.empty());
  std::ofstream(dir / "chat_template.jinja") << "{{ bos_token }}";
  config = load_tokenizer_config(dir.string());
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->chat_templates.at(kDefaultTemplate), "{{ bos_token }}");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace sluice
