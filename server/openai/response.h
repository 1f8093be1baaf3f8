// The parts of OpenAI's responses, appended as text: shared by whole and streamed ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/service.h"

namespace sluice {

// What every chunk and every whole response of one request repeats.
struct ResponseHead {
  bool chat = false;
  std::string id;  // chatcmpl-... or cmpl-...
  int64_t created_unix_s = 0;
  std::string model;  // as the client named it
};

// How a choice ended.
struct Ending {
  FinishReason finish = FinishReason::kNone;
  std::string stop_string;         // the one that ended it
  std::optional<TokenId> stop_id;  // the id that ended it, if the client had asked for it
  bool made_calls = false;         // for tools to answer
};

// A token of a choice's text with its logprob; absent for a prompt's first token, which has none.
struct ScoredToken {
  std::string text;
  std::optional<TextLogprob> score;
};

// One choice of a whole response.
struct ChoiceResult {
  std::string reasoning;
  std::string text;
  std::vector<ToolCallDelta> calls;  // whole ones
  std::vector<ScoredToken> tokens;   // if logprobs were asked for
  Ending ending;
};

struct WholeResponse {
  ResponseHead head;
  bool logprobs = false;
  std::vector<ChoiceResult> choices;
  // Of each prompt, if asked for: empty, or choices.size() / n lists.
  std::vector<std::vector<std::optional<TextLogprob>>> prompt_logprobs;
  int n = 1;
  Usage usage;
};

std::string whole_response(const WholeResponse& response);

// {"prompt_tokens":...,"total_tokens":...,"completion_tokens":...,"prompt_tokens_details":{...}}
void append_usage(std::string* out, const Usage& usage);
// {token, logprob, bytes, top_logprobs}, ...: the elements of a list.
std::string token_scores(const std::vector<ScoredToken>& tokens);
// The value of a choice's "logprobs" in a chat: {"content":[{token, logprob, bytes, ...}, ...]}.
void append_chat_logprobs(std::string* out, const std::vector<ScoredToken>& tokens);
// In a completion: four lists. *offset, in code points, is where the first token begins in the
// text, and is moved past the last.
void append_text_logprobs(std::string* out, const std::vector<ScoredToken>& tokens,
                          int64_t* offset);
// "reasoning_content":...,"content":...,"tool_calls":[...], without those that are empty; nothing
// if all are. `streamed`: the calls are pieces, and say which one they belong to.
void append_answer(std::string* out, std::string_view reasoning, std::string_view text,
                   const std::vector<ToolCallDelta>& calls, bool streamed);
// "finish_reason":...,"stop_reason":...
void append_ending(std::string* out, const Ending& ending);
// One object for each served name: {"object":"list","data":[...]}.
std::string model_list(const ModelInfo& model);
std::string model_card(const ModelInfo& model, std::string_view name);

}  // namespace sluice
