// A LocalService over a small engine without a thread: the test turns the loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "server/local_service.h"
#include "tests/server/text/fake_tokenizer.h"

namespace sluice {

inline constexpr int kByteVocab = 256 + 4;  // bytes, then the control tokens
inline constexpr TokenId kBos = 256, kEos = 257, kStart = 258, kEnd = 259;

inline EngineConfig small_engine_config() {
  EngineConfig config;
  config.vocab_size = kByteVocab + 4;  // the model's vocabulary is padded
  config.max_model_len = 256;
  config.num_blocks = 64;
  config.max_num_seqs = 16;
  return config;
}

// Ids of text, one a byte, as the fixture's tokenizer gives them.
inline std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

inline std::shared_ptr<const ModelText> byte_text() {
  auto text = std::make_shared<ModelText>();
  text->tokenizer = std::make_unique<const FakeTokenizer>(
      FakeTokenizer::bytes({"<s>", "</s>", "<|im_start|>", "<|im_end|>"}));
  text->prompt_prefix = {*text->tokenizer->control_id("<s>")};
  text->config.bos_token = "<s>";
  text->config.eos_token = "</s>";
  text->chat_template = ChatTemplate::compile(
                            "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}"
                            "{{ raise_exception('no tools') }}{% endif %}{{ '<|im_start|>' + "
                            "m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                            "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}")
                            .value();
  return text;
}

class ServiceUnderTest {
 public:
  explicit ServiceUnderTest(std::unique_ptr<ModelRunner> runner, ServiceLimits limits = {},
                            std::chrono::milliseconds request_timeout = {})
      : engine_(small_engine_config(), std::move(runner), [this] { return now_; }),
        service_({{"tiny", "alias"}, limits, std::chrono::seconds(30), request_timeout}) {}

  LocalService& operator*() { return service_; }
  LocalService* operator->() { return &service_; }
  Engine& engine() { return engine_; }
  void advance(std::chrono::milliseconds time) { now_ += time; }

  ServedModel served() {
    ServedModel model;
    model.engine = &engine_;
    model.text = byte_text();
    model.vocab_size = small_engine_config().vocab_size;
    model.max_model_len = small_engine_config().max_model_len;
    model.eos_ids = {kEos};
    return model;
  }
  void open() { service_.open(served()); }

  // Turns the loop until nothing is left to do.
  void run() {
    while (engine_.step()) {
    }
  }

 private:
  std::chrono::steady_clock::time_point now_;
  Engine engine_;
  LocalService service_;
};

// All deltas of a choice as one.
struct ChoiceText {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TextLogprob> logprobs;
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason;
  std::optional<TokenId> stop_id;

  void add(const TextDelta& delta) {
    text += delta.text;
    tokens.insert(tokens.end(), delta.tokens.begin(), delta.tokens.end());
    logprobs.insert(logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    finish = delta.finish;
    stop_reason = delta.stop_reason;
    stop_id = delta.stop_id;
  }
};

}  // namespace sluice
