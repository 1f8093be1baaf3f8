// Whole responses and the parts that streams share with them.
#include "server/openai/response.h"

#include <algorithm>

#include "server/text/json_text.h"

namespace sluice {
namespace {

int64_t num_code_points(std::string_view text) {
  constexpr unsigned kTopBits = 0xC0;
  constexpr unsigned kContinuation = 0x80;
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & kTopBits) != kContinuation;
  });
}

void append_bytes(std::string* out, std::string_view bytes) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out->push_back(',');
    append_json(out, int64_t{static_cast<unsigned char>(bytes[i])});
  }
  out->push_back(']');
}

// "token":...,"logprob":...,"bytes":[...]
template <typename Scored>
void append_token(std::string* out, const Scored& token) {
  out->append(R"("token":)");
  append_json_string(out, token.text);
  out->append(R"(,"logprob":)");
  append_json(out, token.logprob);
  out->append(R"(,"bytes":)");
  append_bytes(out, token.bytes);
}

bool has_alternative(const TextLogprob& score, TokenId id) {
  return std::any_of(score.top.begin(), score.top.end(),
                     [id](const auto& alternative) { return alternative.id == id; });
}

// {text: logprob, ...} of the best tokens and, if it is not one of them, the token itself. Tokens
// that are halves of code points share a text; the best one keeps it.
void append_top_by_text(std::string* out, const TextLogprob& score) {
  std::vector<std::string_view> seen;
  out->push_back('{');
  const auto add = [&](std::string_view text, float logprob) {
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) return;
    if (!seen.empty()) out->push_back(',');
    seen.push_back(text);
    append_json_string(out, text);
    out->push_back(':');
    append_json(out, logprob);
  };
  for (const auto& alternative : score.top) add(alternative.text, alternative.logprob);
  add(score.text, score.logprob);
  out->push_back('}');
}

// vLLM's form: {"ID":{"logprob":...,"rank":...,"decoded_token":...}, ...}
void append_prompt_position(std::string* out, const std::optional<TextLogprob>& position) {
  if (!position) {
    out->append("null");
    return;
  }
  bool first = true;
  const auto add = [&](TokenId id, float logprob, int rank, std::string_view text) {
    out->push_back(first ? '{' : ',');
    first = false;
    append_json_string(out, std::to_string(id));
    out->append(R"(:{"logprob":)");
    append_json(out, logprob);
    out->append(R"(,"rank":)");
    append_json(out, int64_t{rank});
    out->append(R"(,"decoded_token":)");
    append_json_string(out, text);
    out->push_back('}');
  };
  if (!has_alternative(*position, position->id)) {
    add(position->id, position->logprob, position->rank, position->text);
  }
  int rank = 0;
  for (const auto& other : position->top) add(other.id, other.logprob, ++rank, other.text);
  out->push_back('}');
}

void append_prompt_logprobs(std::string* out,
                            const std::vector<std::optional<TextLogprob>>& positions) {
  out->append(R"("prompt_logprobs":[)");
  for (size_t i = 0; i < positions.size(); ++i) {
    if (i > 0) out->push_back(',');
    append_prompt_position(out, positions[i]);
  }
  out->push_back(']');
}

// The members of one of "tool_calls".
void append_call(std::string* out, const ToolCallDelta& call, bool streamed) {
  if (streamed) {
    out->append(R"("index":)");
    append_json(out, int64_t{call.index});
    out->push_back(',');
  }
  if (!call.name.empty()) {
    out->append(R"("id":)");
    append_json_string(out, call.id);
    out->append(R"(,"type":"function","function":{"name":)");
    append_json_string(out, call.name);
    out->push_back(',');
  } else {
    out->append(R"("function":{)");
  }
  out->append(R"("arguments":)");
  append_json_string(out, call.arguments);
  out->push_back('}');
}

void append_choice(std::string* out, const WholeResponse& response, size_t index) {
  const ChoiceResult& choice = response.choices[index];
  out->append(R"({"index":)");
  append_json(out, static_cast<int64_t>(index));
  if (response.head.chat) {
    out->append(R"(,"message":{"role":"assistant",)");
    const bool only_text = choice.reasoning.empty() && choice.calls.empty();
    if (choice.text.empty()) out->append(only_text ? R"("content":"",)" : R"("content":null,)");
    append_answer(out, choice.reasoning, choice.text, choice.calls, /*streamed=*/false);
    if (!choice.text.empty() || !only_text) out->push_back(',');
    out->append(R"("refusal":null})");
  } else {
    out->append(R"(,"text":)");
    append_json_string(out, choice.text);
  }
  out->append(R"(,"logprobs":)");
  int64_t offset = 0;
  if (!response.logprobs) {
    out->append("null");
  } else if (response.head.chat) {
    append_chat_logprobs(out, choice.tokens);
  } else {
    append_text_logprobs(out, choice.tokens, &offset);
  }
  out->push_back(',');
  append_ending(out, choice.ending);
  if (!response.head.chat && !response.prompt_logprobs.empty()) {
    out->push_back(',');
    append_prompt_logprobs(out, response.prompt_logprobs[index / static_cast<size_t>(response.n)]);
  }
  out->push_back('}');
}

}  // namespace

void append_usage(std::string* out, const Usage& usage) {
  out->append(R"({"prompt_tokens":)");
  append_json(out, usage.prompt_tokens);
  out->append(R"(,"total_tokens":)");
  append_json(out, usage.prompt_tokens + usage.completion_tokens);
  out->append(R"(,"completion_tokens":)");
  append_json(out, usage.completion_tokens);
  out->append(R"(,"prompt_tokens_details":{"cached_tokens":)");
  append_json(out, usage.cached_tokens);
  out->append("}}");
}

std::string token_scores(const std::vector<ScoredToken>& tokens) {
  std::string out;
  for (const ScoredToken& token : tokens) {
    if (!token.score) continue;
    out += out.empty() ? "{" : ",{";
    append_token(&out, *token.score);
    out += R"(,"top_logprobs":[)";
    for (size_t i = 0; i < token.score->top.size(); ++i) {
      out += i == 0 ? "{" : ",{";
      append_token(&out, token.score->top[i]);
      out += '}';
    }
    out += "]}";
  }
  return out;
}

void append_chat_logprobs(std::string* out, const std::vector<ScoredToken>& tokens) {
  out->append(R"({"content":[)").append(token_scores(tokens)).append(R"(],"refusal":null})");
}

void append_text_logprobs(std::string* out, const std::vector<ScoredToken>& tokens,
                          int64_t* offset) {
  const auto list = [&](const char* name, auto&& append_one) {
    out->append(name).push_back('[');
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) out->push_back(',');
      append_one(tokens[i]);
    }
    out->push_back(']');
  };
  list(R"({"text_offset":)", [&](const ScoredToken& token) {
    append_json(out, *offset);
    *offset += num_code_points(token.text);
  });
  list(R"(,"token_logprobs":)", [&](const ScoredToken& token) {
    if (token.score) {
      append_json(out, token.score->logprob);
    } else {
      out->append("null");
    }
  });
  list(R"(,"tokens":)", [&](const ScoredToken& token) { append_json_string(out, token.text); });
  list(R"(,"top_logprobs":)", [&](const ScoredToken& token) {
    if (token.score) {
      append_top_by_text(out, *token.score);
    } else {
      out->append("null");
    }
  });
  out->push_back('}');
}

void append_answer(std::string* out, std::string_view reasoning, std::string_view text,
                   const std::vector<ToolCallDelta>& calls, bool streamed) {
  const char* comma = "";
  const auto add_text = [&](const char* name, std::string_view value) {
    if (value.empty()) return;
    out->append(comma).append(name);
    append_json_string(out, value);
    comma = ",";
  };
  add_text(R"("reasoning_content":)", reasoning);
  add_text(R"("content":)", text);
  if (calls.empty()) return;
  out->append(comma).append(R"("tool_calls":)");
  for (size_t i = 0; i < calls.size(); ++i) {
    out->append(i == 0 ? "[{" : ",{");
    append_call(out, calls[i], streamed);
    out->push_back('}');
  }
  out->push_back(']');
}

void append_ending(std::string* out, const Ending& ending) {
  out->append(R"("finish_reason":)");
  switch (ending.finish) {
    case FinishReason::kNone:
      out->append("null");
      break;
    case FinishReason::kStop:
      out->append(ending.made_calls ? R"("tool_calls")" : R"("stop")");
      break;
    case FinishReason::kLength:
      out->append(R"("length")");
      break;
    case FinishReason::kCancelled:
    case FinishReason::kError:
      out->append(R"("abort")");
      break;
  }
  out->append(R"(,"stop_reason":)");
  if (ending.stop_id) {
    append_json(out, int64_t{*ending.stop_id});
  } else if (!ending.stop_string.empty()) {
    append_json_string(out, ending.stop_string);
  } else {
    out->append("null");
  }
}

std::string whole_response(const WholeResponse& response) {
  std::string out = R"({"id":)";
  append_json_string(&out, response.head.id);
  out += response.head.chat ? R"(,"object":"chat.completion","created":)"
                            : R"(,"object":"text_completion","created":)";
  append_json(&out, response.head.created_unix_s);
  out += R"(,"model":)";
  append_json_string(&out, response.head.model);
  out += R"(,"system_fingerprint":null,"choices":[)";
  for (size_t i = 0; i < response.choices.size(); ++i) {
    if (i > 0) out += ',';
    append_choice(&out, response, i);
  }
  out += R"(],"usage":)";
  append_usage(&out, response.usage);
  if (response.head.chat && !response.prompt_logprobs.empty()) {
    out += ',';
    append_prompt_logprobs(&out, response.prompt_logprobs.front());
  }
  out += '}';
  return out;
}

std::string model_card(const ModelInfo& model, std::string_view name) {
  std::string out = R"({"id":)";
  append_json_string(&out, name);
  out += R"(,"object":"model","created":)";
  append_json(&out, model.created_unix_s);
  out += R"(,"owned_by":"sluice","root":)";
  append_json_string(&out, model.names.front());
  out += R"(,"parent":null,"max_model_len":)";
  append_json(&out, model.max_model_len);
  out += '}';
  return out;
}

std::string model_list(const ModelInfo& model) {
  std::string out = R"({"object":"list","data":[)";
  for (size_t i = 0; i < model.names.size(); ++i) {
    if (i > 0) out += ',';
    out += model_card(model, model.names[i]);
  }
  out += "]}";
  return out;
}

}  // namespace sluice
