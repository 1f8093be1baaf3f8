// Service: validate -> template -> tokenise -> submit -> detokenise. No transport, no JSON, no
// sockets.
//
// HTTP and gRPC adapters turn bytes into a GenerateCall, hand it in, and turn TextDeltas into
// bytes. All functions are thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/engine_stats.h"
#include "engine/output_stream.h"
#include "engine/sampling_params.h"
#include "server/grammar/grammar_spec.h"
#include "server/text/json_value.h"

namespace sluice {

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name;
  std::shared_ptr<const JsonValue> more{};  // an object: what else the template sees; may be null
  bool has_content = true;                  // false: content is null beside tool_calls
};

// Whether a chat's answer calls tools.
enum class ToolChoice {
  kAuto,      // as the model likes
  kNone,      // it does not even see them
  kRequired,  // at least one
};

// What is asked for, after parsing. Token-level defaults (eos, max_tokens absent) are resolved by
// the service.
struct GenerateCall {
  std::variant<std::string, std::vector<TokenId>, std::vector<ChatMessage>> prompt;
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // of chats: the answer goes on with the last message
  // Of chats: a list of tools as OpenAI writes them ({"type": "function", "function": {...}}), and
  // an object of the template's variables; may be null.
  std::shared_ptr<const JsonValue> tools{}, template_variables{};
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string required_tool;        // of kRequired: this one; empty: any
  bool parallel_tool_calls = true;  // else the answer ends behind its first call
  bool add_special_tokens = true;   // text prompts: the tokenizer's bos, if it adds one
  SamplingParams sampling;
  std::optional<GrammarSpec> grammar;  // the form that every choice must have
  bool max_tokens_given = false;       // else: what fits into the model's length
  std::vector<std::string> stop;       // stop strings; not part of the text
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  int priority = 0;
  std::string cache_salt;
  std::string request_id;  // from the client, or empty
};

// A token beside its text, for logprobs.
struct TextLogprob {
  TokenId id = 0;
  std::string text;  // lossy where the bytes are no UTF-8
  std::string bytes;
  float logprob = 0;
  int rank = 0;  // 1: it was the most likely one; 0: not known
  struct Alternative {
    TokenId id = 0;
    std::string text;
    std::string bytes;
    float logprob = 0;
  };
  std::vector<Alternative> top;
};

// What is new in one call of a tool.
struct ToolCallDelta {
  int index = 0;          // which of the choice's calls
  std::string id, name;   // in a call's first delta only
  std::string arguments;  // the next of a JSON object's text
};

// What is new in one choice: reasoning, then text, then calls; what comes in another order comes in
// several deltas. Concatenated texts are valid UTF-8 at every point and never rewritten.
struct TextDelta {
  int choice = 0;
  std::string reasoning;  // of chats, where the model marks it
  std::string text;
  std::vector<ToolCallDelta> calls;  // of chats that offer tools
  std::vector<TokenId> tokens;
  std::vector<TextLogprob> logprobs;  // one a token, if asked for
  FinishReason finish = FinishReason::kNone;
  bool made_calls = false;  // with the finish: the choice holds calls
  std::string stop_reason;  // the stop string or id that ended it, if any
  std::optional<TokenId> stop_id;
  Status error;                                // for FinishReason::kError
  std::chrono::steady_clock::time_point time;  // when the engine made the last token of it
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
};

// A running generation. One consumer at a time. Destroying it cancels what is left.
class Generation {
 public:
  virtual ~Generation() = default;
  virtual const std::string& id() const = 0;
  // Woken (on some thread) when next() has something; it must only post. Set once.
  virtual void set_notifier(std::function<void()> notify) = 0;
  // All that is new, detokenised on the calling thread. Empty when nothing waits.
  virtual std::vector<TextDelta> next() = 0;
  // As next(), but waits for something up to `limit`.
  virtual std::vector<TextDelta> wait(std::chrono::milliseconds limit) = 0;
  virtual bool finished() const = 0;  // every choice has had its last delta
  virtual const std::vector<TokenId>& prompt_tokens() const = 0;
  virtual const std::vector<std::optional<TextLogprob>>& prompt_logprobs() const = 0;
  virtual Usage usage() const = 0;
  virtual void cancel() = 0;
};

struct ModelInfo {
  std::vector<std::string> names;  // served names; the first is the canonical one
  int64_t max_model_len = 0;
  int64_t created_unix_s = 0;
};

// Loading -> Ready -> (Draining). Liveness is the process answering at all.
enum class Readiness { kLoading, kReady, kDraining, kStalled };

class Service {
 public:
  virtual ~Service() = default;

  // Everything wrong with `call` is a Status here, before the engine hears of it: kInvalidArgument
  // names the field, the value and the limit; kTooLong: prompt and max_tokens exceed the
  // model's length; kResourceExhausted: the queue is full; kUnavailable:
  // loading, draining.
  virtual Result<std::unique_ptr<Generation>> generate(GenerateCall call) = 0;

  // The ids that generate() would use as prompt. Plain text gets the tokenizer's bos if it adds
  // one.
  virtual Result<std::vector<TokenId>> tokenize(const GenerateCall& call) const = 0;
  virtual Result<std::string> detokenize(const std::vector<TokenId>& ids) const = 0;
  virtual std::string token_spelling(TokenId id) const = 0;

  // What a request gets where it says nothing: the model's own recommendations over the defaults
  // of SamplingParams. Adapters start from it.
  virtual SamplingParams default_sampling() const { return {}; }

  virtual ModelInfo model() const = 0;
  virtual Readiness readiness() const = 0;
  // Ends requests that have taken longer than they may. Whoever watches the service calls it about
  // once a second.
  virtual void end_overdue() {}
  virtual EngineStats engine_stats() const = 0;
};

}  // namespace sluice
