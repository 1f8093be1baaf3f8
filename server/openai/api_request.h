// Requests of OpenAI's API as plain structs, and their strict parsers. JSON ends here.
//
// Kinds are checked here, and what several fields mean together; ranges and everything that depends
// on the model are the service's to check. A field that would change the answer and is
// not supported is refused (kUnimplemented); one that is not known is listed in `ignored_fields`.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "server/openai/protocol.h"
#include "server/service.h"

namespace sluice {

using Prompt = decltype(GenerateCall::prompt);

// A request for a generation, in any protocol.
struct ApiRequest {
  Protocol protocol = Protocol::kText;
  std::string model;            // empty: the server's
  GenerateCall call;            // everything but the prompt
  std::vector<Prompt> prompts;  // one but for kText; choices are numbered prompt by prompt
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool continuous_usage = false;  // and the usage so far in every chunk
  bool echo = false;              // the prompt's text before the output's
  bool report_prompt_logprobs = false;
  std::vector<std::string> ignored_fields;
};

// `defaults` are the sampling parameters of a request that says nothing about them.
Result<ApiRequest> parse_chat_request(std::string_view body, const SamplingParams& defaults);
// OpenAI's responses and Anthropic's messages: one prompt, of messages, as in a chat.
Result<ApiRequest> parse_responses_request(std::string_view body, const SamplingParams& defaults);
Result<ApiRequest> parse_messages_request(std::string_view body, const SamplingParams& defaults);
// At most `max_prompts` prompts.
Result<ApiRequest> parse_completion_request(std::string_view body, const SamplingParams& defaults,
                                            int max_prompts);

struct TokenizeRequest {
  std::string model;
  GenerateCall call;  // the prompt, and how it is rendered
  bool return_token_strs = false;
};
Result<TokenizeRequest> parse_tokenize_request(std::string_view body);
// The prompt of an Anthropic message, to be counted; its other fields do not matter.
Result<TokenizeRequest> parse_count_request(std::string_view body);

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
};
Result<DetokenizeRequest> parse_detokenize_request(std::string_view body);

}  // namespace sluice
