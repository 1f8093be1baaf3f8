// ChoiceDecoder: the token events of one choice, as text.
//
//   TokenEvent -> Detokenizer -> StopMatcher (-> AnswerParser) -> TextDelta
//
// A stop string ends the choice here, before the engine knows; what it computed meanwhile is
// dropped. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/output_stream.h"
#include "server/service.h"
#include "server/text/answer/answer_parser.h"
#include "server/text/detokenizer.h"
#include "server/text/stop_matcher.h"

namespace sluice {

struct ChoiceDecoderOptions {
  bool skip_special_tokens = true;
  bool at_start = false;  // the prompt has no text: see Detokenizer
  std::vector<std::string> stop;
  bool include_stop = false;     // stop strings, and the text of a stop id, are part of the text
  int64_t min_tokens = 0;        // stop strings count only past these
  AnswerParserOptions answer{};  // what is looked for in the text of a chat
  std::vector<TokenId> shown_tokens{};  // control tokens that have text all the same
};

class ChoiceDecoder {
 public:
  // `choice`: its number. `tokenizer` must outlive this.
  ChoiceDecoder(const Tokenizer& tokenizer, const ChoiceDecoderOptions& options, int choice = 0);

  // Adds what `event` brings to the last delta of this choice in `deltas`, or to new ones. After
  // the finish events are ignored.
  void consume(const TokenEvent& event, std::vector<TextDelta>& deltas);

  bool finished() const { return finished_; }
  // The finish came from the text, by a stop string or an only call: the engine should hear of it.
  bool stopped_by_text() const { return stopped_by_text_; }
  int64_t num_tokens() const { return num_tokens_; }  // output tokens up to the finish

 private:
  // The last delta of this choice in `deltas`, which may be a new one.
  TextDelta& delta_in(std::vector<TextDelta>& deltas) const;
  void add_text(const std::string& text, bool last, std::vector<TextDelta>& deltas);
  void add_part(AnswerPart part, std::vector<TextDelta>& deltas) const;

  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  bool include_stop_;
  int64_t min_tokens_;
  int choice_;
  std::optional<AnswerParser> parser_;  // none: all is text
  AnswerParts parts_;
  bool short_ids_ = false;  // of calls
  bool stopped_by_text_ = false;
  int64_t num_tokens_ = 0;
  bool finished_ = false;
};

// A token's logprob beside its text.
TextLogprob text_logprob(const Tokenizer& tokenizer, TokenId id, const TokenLogprob& logprob);

}  // namespace sluice
