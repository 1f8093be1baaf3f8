// LocalGeneration: one request of this process's engine, on its way to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/choice_decoder.h"
#include "server/request_deadlines.h"
#include "server/service.h"
#include "server/text/model_text.h"

namespace sluice {

class LocalGeneration final : public Generation {
 public:
  // `request` has been submitted to `engine`, which must outlive this. `id`: what the client calls
  // it; `decoding`: how each choice becomes text; `ticket`: its time limit, or null.
  LocalGeneration(Engine& engine, std::shared_ptr<const ModelText> text, RequestPtr request,
                  std::string id, const ChoiceDecoderOptions& decoding,
                  std::unique_ptr<RequestDeadlines::Ticket> ticket);
  ~LocalGeneration() override;

  const std::string& id() const override { return id_; }
  void set_notifier(std::function<void()> notify) override;
  std::vector<TextDelta> next() override;
  std::vector<TextDelta> wait(std::chrono::milliseconds limit) override;
  bool finished() const override { return unfinished_ == 0; }
  const std::vector<TokenId>& prompt_tokens() const override { return request_->prompt; }
  const std::vector<std::optional<TextLogprob>>& prompt_logprobs() const override {
    return prompt_logprobs_;
  }
  Usage usage() const override;
  void cancel() override;

 private:
  // The news of each choice, by the first of its events.
  std::vector<TextDelta> decode(const std::vector<TokenEvent>& events);
  void keep_prompt_logprobs(const TokenEvent& event);

  Engine& engine_;
  std::shared_ptr<const ModelText> text_;
  RequestPtr request_;
  std::string id_;
  std::unique_ptr<RequestDeadlines::Ticket> ticket_;
  std::vector<ChoiceDecoder> choices_;  // [n]
  int unfinished_;
  int64_t cached_tokens_ = 0;
  std::vector<std::optional<TextLogprob>> prompt_logprobs_;  // empty, or [prompt]; the first: none
};

}  // namespace sluice
