// LocalService: the Service over the engine in this process.
//
//   GenerateCall -> check -> template -> tokenise -> Request -> Engine::submit
//   Generation   <- ChoiceDecoder <- OutputStream <- engine thread
//
// It answers from the moment it is made: kUnavailable until open() has given it a model.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model/model_config.h"
#include "server/call_checks.h"
#include "server/grammar/grammar_compiler.h"
#include "server/request_deadlines.h"
#include "server/service.h"
#include "server/text/model_text.h"

namespace sluice {

struct LocalServiceOptions {
  std::vector<std::string> names;  // served model names; at least one
  ServiceLimits limits;
  // Work waits and no step has ended for this long: readiness() says kStalled, as it does when the
  // engine has given up.
  std::chrono::milliseconds stall_after{30'000};
  // A request that has taken longer ends with kDeadlineExceeded; 0: never.
  std::chrono::milliseconds request_timeout{0};
  GrammarLimits grammars{};
};

// What serves a model. The engine must be started by its owner.
struct ServedModel {
  Engine* engine = nullptr;               // must outlive the service and every Generation
  std::shared_ptr<const ModelText> text;  // never null
  int vocab_size = 0;                     // of the model; the tokenizer's may be smaller
  int64_t max_model_len = 0;              // as the engine's config has it
  std::vector<TokenId> eos_ids;
  GenerationDefaults defaults;  // of generation_config.json; do_sample and lengths are not followed
};

class LocalService final : public Service {
 public:
  explicit LocalService(LocalServiceOptions options);

  // From now on calls are served. Once; any thread.
  void open(ServedModel model);
  // From now on new calls are refused with kUnavailable; running ones go on. Any thread.
  void drain() { draining_ = true; }

  // The service must outlive the generation.
  Result<std::unique_ptr<Generation>> generate(GenerateCall call) override;
  Result<std::vector<TokenId>> tokenize(const GenerateCall& call) const override;
  Result<std::string> detokenize(const std::vector<TokenId>& ids) const override;
  std::string token_spelling(TokenId id) const override;
  SamplingParams default_sampling() const override;
  ModelInfo model() const override;
  Readiness readiness() const override;
  void end_overdue() override;
  EngineStats engine_stats() const override;

 private:
  // The served model, or why there is none.
  Result<const ServedModel*> served() const;
  struct EncodedPrompt {
    std::vector<TokenId> ids;
    std::string answer_start;  // as RenderedChat's
  };
  // The prompt of a call that check_call() has passed.
  Result<EncodedPrompt> encode_prompt(const ServedModel& model, const GenerateCall& call) const;

  const LocalServiceOptions options_;
  const int64_t created_unix_s_;
  RequestDeadlines deadlines_;                 // empty without a request_timeout
  std::unique_ptr<const ServedModel> model_;   // set once, before opened_
  std::unique_ptr<GrammarCompiler> grammars_;  // of model_, likewise
  std::atomic<const ServedModel*> opened_ = nullptr;
  std::atomic<bool> draining_ = false;
  std::atomic<uint64_t> num_requests_ = 0;
};

}  // namespace sluice
