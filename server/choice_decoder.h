// ChoiceDecoder: the token events of one choice, as text.
//
//   TokenEvent -> Detokenizer -> StopMatcher -> TextDelta
//
// A stop string ends the choice here, before the engine knows; what it computed meanwhile is
// dropped. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/output_stream.h"
#include "server/service.h"
#include "server/text/detokenizer.h"
#include "server/text/stop_matcher.h"

namespace sluice {

struct ChoiceDecoderOptions {
  bool skip_special_tokens = true;
  bool at_start = false;  // the prompt has no text: see Detokenizer
  std::vector<std::string> stop;
  bool include_stop = false;  // stop strings, and the text of a stop id, are part of the text
  int64_t min_tokens = 0;     // stop strings count only past these
};

class ChoiceDecoder {
 public:
  // `tokenizer` must outlive this.
  ChoiceDecoder(const Tokenizer& tokenizer, const ChoiceDecoderOptions& options);

  // Adds what `event` brings to `delta`, whose `choice` is the caller's business. After the finish
  // events are ignored.
  void consume(const TokenEvent& event, TextDelta& delta);

  bool finished() const { return finished_; }
  // The finish came from a stop string: the engine should hear of it.
  bool stopped_by_text() const { return !matcher_.matched().empty(); }
  int64_t num_tokens() const { return num_tokens_; }  // output tokens up to the finish

 private:
  void finish(const TokenEvent& event, TextDelta& delta);

  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  bool include_stop_;
  int64_t min_tokens_;
  int64_t num_tokens_ = 0;
  bool finished_ = false;
};

// A token's logprob beside its text.
TextLogprob text_logprob(const Tokenizer& tokenizer, TokenId id, const TokenLogprob& logprob);

}  // namespace sluice
