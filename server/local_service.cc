// LocalService: every refusal in words, then a Request for the engine.
#include "server/local_service.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "server/call_grammar.h"
#include "server/local_generation.h"
#include "server/tools.h"

namespace sluice {
namespace {

// FNV-1a: salts only have to differ where their texts do. 0 is "no salt".
uint64_t salt_of(std::string_view text) {
  if (text.empty()) return 0;
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return hash == 0 ? 1 : hash;
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

const char* prompt_field(const GenerateCall& call) {
  return std::holds_alternative<std::vector<ChatMessage>>(call.prompt) ? "messages" : "prompt";
}

Status check_ids(const std::vector<TokenId>& ids, int vocab_size, const char* field) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return invalid_argument(str(field, "[", i, "] is the token id ", ids[i],
                                "; the model's ids are 0 to ", vocab_size - 1),
                            field);
  }
  return {};
}

Result<RenderedChat> render_chat(const ModelText& text, const GenerateCall& call,
                                 const std::vector<ChatMessage>& messages) {
  if (!text.chat_template) return text.no_chat_template;
  std::vector<TemplateMessage> views;
  views.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    views.push_back(
        {message.role, message.content, message.name, message.more.get(), message.has_content});
  }
  ChatTemplateOptions options;
  options.bos_token = text.config.bos_token;
  options.eos_token = text.config.eos_token;
  options.unk_token = text.config.unk_token;
  options.add_generation_prompt = call.add_generation_prompt && !call.continue_final_message;
  options.continue_final_message = call.continue_final_message;
  options.tools = call.tool_choice == ToolChoice::kNone ? nullptr : call.tools.get();
  options.variables = call.template_variables.get();
  return text.chat_template->render(views, options, *text.tokenizer);
}

// A prompt that is text: messages, or plain text.
Result<RenderedChat> render_prompt(const ModelText& text, const GenerateCall& call) {
  if (const auto* messages = std::get_if<std::vector<ChatMessage>>(&call.prompt)) {
    return render_chat(text, call, *messages);
  }
  return RenderedChat{{{std::get<std::string>(call.prompt), std::nullopt}}, {}};
}

// What is looked for in the answers to a chat, and which control tokens must be seen for it.
void look_for(const AnswerFormat& format, const GenerateCall& call, std::string_view answer_start,
              ChoiceDecoderOptions& decoding) {
  if (!std::holds_alternative<std::vector<ChatMessage>>(call.prompt)) return;
  const auto show = [&](const std::vector<TokenId>& tokens) {
    decoding.shown_tokens.insert(decoding.shown_tokens.end(), tokens.begin(), tokens.end());
  };
  AnswerParserOptions& answer = decoding.answer;
  if (format.reasoning != nullptr) {
    answer.reasoning = format.reasoning;
    answer.reasoning_opened = leaves_open(*format.reasoning, answer_start);
    show(format.reasoning_tokens);
  }
  const bool wanted = call.tool_choice == ToolChoice::kRequired ||
                      (call.tool_choice == ToolChoice::kAuto && format.auto_calls);
  if (format.calls != nullptr && call.tools != nullptr && wanted) {
    answer.calls = format.calls;
    answer.tools = tool_names(*call.tools);
    answer.parallel_calls = call.parallel_tool_calls;
    show(format.call_tokens);
  }
}

ChoiceDecoderOptions decoding_of(const ModelText& text, const GenerateCall& call,
                                 const std::vector<TokenId>& prompt,
                                 std::string_view answer_start) {
  const Tokenizer& tokenizer = *text.tokenizer;
  ChoiceDecoderOptions decoding;
  decoding.skip_special_tokens = call.skip_special_tokens;
  decoding.at_start = std::all_of(prompt.begin(), prompt.end(), [&](TokenId token) {
    return token < tokenizer.vocab_size() && tokenizer.is_control(token);
  });
  decoding.stop = call.stop;
  decoding.include_stop = call.include_stop_str_in_output;
  decoding.min_tokens = call.sampling.min_tokens;
  look_for(text.answer, call, answer_start, decoding);
  return decoding;
}

// Calls that are forced, or held to a schema, give the answer a form; it cannot have two.
Status settle_grammar(const AnswerFormat& format, const AnswerParserOptions& answer,
                      GenerateCall& call) {
  if (!std::holds_alternative<std::vector<ChatMessage>>(call.prompt)) return {};
  Result<std::optional<GrammarSpec>> form = call_grammar(call, format, answer.reasoning_opened);
  if (!form.ok()) return form.status();
  if (!form.value()) return {};
  if (call.grammar) {
    const std::string& field = call.grammar->field;
    return {StatusCode::kUnimplemented,
            str(field, ": not together with calls that ", form.value()->field,
                " gives a form; leave one of them out"),
            field};
  }
  call.grammar = std::move(form).value();
  return {};
}

std::string context_limit(int64_t max_model_len) {
  return str("This model's maximum context length is ", max_model_len, " tokens. However, ");
}

// Megabytes take seconds to tokenise; what cannot fit is refused without.
Status check_bytes_fit(const GenerateCall& call, const std::vector<PromptPiece>& pieces,
                       size_t max_bytes_per_token, int64_t max_model_len) {
  size_t bytes = 0;
  for (const PromptPiece& piece : pieces) bytes += piece.text.size();
  if (max_bytes_per_token == 0) return {};
  const size_t at_least = bytes / max_bytes_per_token;
  if (at_least <= static_cast<size_t>(max_model_len)) return {};
  const std::string field = prompt_field(call);
  return {StatusCode::kTooLong,
          str(context_limit(max_model_len), "the ", field, " resulted in at least ", at_least,
              " tokens. Please shorten the ", field, "."),
          field};
}

// Settles max_tokens, or says why prompt and answer are too long for the model.
Status settle_max_tokens(const GenerateCall& call, int64_t prompt_tokens, int64_t max_model_len,
                         int64_t max_output_tokens, SamplingParams& sampling) {
  const std::string field = prompt_field(call);
  const std::string limit = context_limit(max_model_len);
  if (prompt_tokens >= max_model_len) {
    return {StatusCode::kTooLong,
            str(limit, "the ", field, " resulted in ", prompt_tokens,
                " tokens, which leaves no room for an answer. Please shorten the ", field, "."),
            field};
  }
  const int64_t room = max_model_len - prompt_tokens;
  const int64_t share = max_output_tokens / std::max(sampling.n, 1);  // n is checked by the engine
  if (!call.max_tokens_given) {
    sampling.max_tokens = std::clamp<int64_t>(room, 1, std::max<int64_t>(share, 1));
    return {};
  }
  if (sampling.max_tokens > room) {
    return {StatusCode::kTooLong,
            str(limit, "you requested ", sampling.max_tokens, " tokens of completion after ",
                prompt_tokens, " tokens of ", field, ". Please shorten the ", field,
                " or ask for at most ", room, " tokens (max_tokens)."),
            field};
  }
  if (sampling.max_tokens > share) {
    return invalid_argument(
        str("n is ", sampling.n, " and max_tokens is ", sampling.max_tokens,
            "; one request may ask for at most ", max_output_tokens, " tokens in all its choices"),
        "max_tokens");
  }
  return {};
}

}  // namespace

LocalService::LocalService(LocalServiceOptions options)
    : options_(std::move(options)), created_unix_s_(unix_seconds()) {
  SLUICE_CHECK(!options_.names.empty());
}

void LocalService::open(ServedModel model) {
  SLUICE_CHECK(model.engine != nullptr && model.text != nullptr);
  SLUICE_CHECK(model_ == nullptr);
  model_ = std::make_unique<const ServedModel>(std::move(model));
  grammars_ = std::make_unique<GrammarCompiler>(
      [text = model_->text, vocab_size = model_->vocab_size, limits = options_.grammars] {
        return std::make_unique<TokenGrammars>(*text->tokenizer, vocab_size, limits.cache_bytes);
      },
      options_.grammars);
  opened_ = model_.get();
}

Result<const ServedModel*> LocalService::served() const {
  if (const ServedModel* model = opened_) return model;
  return Status(StatusCode::kUnavailable, "the model is still being loaded; try again soon");
}

Result<LocalService::EncodedPrompt> LocalService::encode_prompt(const ServedModel& model,
                                                                const GenerateCall& call) const {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&call.prompt)) {
    SLUICE_RETURN_IF_ERROR(check_ids(*ids, model.vocab_size, "prompt"));
    return EncodedPrompt{*ids, {}};
  }
  Result<RenderedChat> rendered = render_prompt(*model.text, call);
  if (!rendered.ok()) return rendered.status();
  const std::vector<PromptPiece>& pieces = rendered->pieces;
  const Tokenizer& tokenizer = *model.text->tokenizer;
  SLUICE_RETURN_IF_ERROR(
      check_bytes_fit(call, pieces, tokenizer.max_bytes_per_token(), model.max_model_len));
  std::vector<TokenId> ids = tokenizer.encode(pieces);
  if (std::holds_alternative<std::string>(call.prompt) && call.add_special_tokens) {
    const ModelText& text = *model.text;
    ids.insert(ids.begin(), text.prompt_prefix.begin(), text.prompt_prefix.end());
    ids.insert(ids.end(), text.prompt_suffix.begin(), text.prompt_suffix.end());
  }
  return EncodedPrompt{std::move(ids), std::move(rendered->answer_start)};
}

Result<std::unique_ptr<Generation>> LocalService::generate(GenerateCall call) {
  const Result<const ServedModel*> opened = served();
  if (!opened.ok()) return opened.status();
  if (draining_) {
    return Status(StatusCode::kUnavailable, "the server is shutting down; try another one");
  }
  const ServedModel& model = *opened.value();
  SLUICE_RETURN_IF_ERROR(check_call(call, options_.limits));
  Result<EncodedPrompt> prompt = encode_prompt(model, call);
  if (!prompt.ok()) return prompt.status();
  ChoiceDecoderOptions decoding = decoding_of(*model.text, call, prompt->ids, prompt->answer_start);
  SLUICE_RETURN_IF_ERROR(settle_grammar(model.text->answer, decoding.answer, call));
  if (call.grammar) decoding.at_start = false;  // it says every byte, a leading space too

  auto request = std::make_shared<Request>();
  request->prompt = std::move(prompt->ids);
  request->sampling = std::move(call.sampling);
  SLUICE_RETURN_IF_ERROR(settle_max_tokens(call, static_cast<int64_t>(request->prompt.size()),
                                           model.max_model_len, options_.limits.max_output_tokens,
                                           request->sampling));
  // A client's id may come twice; the engine's must not.
  const std::string id = call.request_id.empty() ? "request" : call.request_id;
  request->id = str(id, "#", ++num_requests_);
  request->eos_ids = model.eos_ids;
  request->priority = call.priority;
  request->cache_salt = salt_of(call.cache_salt);
  request->arrival = std::chrono::steady_clock::now();
  request->output = std::make_shared<OutputStream>();

  if (call.grammar) {
    SLUICE_RETURN_IF_ERROR(model.engine->admit(*request));  // before the work of a grammar
    Result<std::shared_ptr<const Grammar>> grammar = grammars_->get(*call.grammar);
    if (!grammar.ok()) return grammar.status();
    request->grammar = std::move(grammar).value();
  }

  std::unique_ptr<RequestDeadlines::Ticket> ticket;
  if (options_.request_timeout.count() > 0) {
    ticket = std::make_unique<RequestDeadlines::Ticket>(
        deadlines_, request->id, request->arrival + options_.request_timeout);
  }
  SLUICE_RETURN_IF_ERROR(model.engine->submit(request));
  return std::unique_ptr<Generation>(std::make_unique<LocalGeneration>(
      *model.engine, model.text, request, call.request_id.empty() ? request->id : id, decoding,
      std::move(ticket)));
}

Result<std::vector<TokenId>> LocalService::tokenize(const GenerateCall& call) const {
  const Result<const ServedModel*> model = served();
  if (!model.ok()) return model.status();
  SLUICE_RETURN_IF_ERROR(check_call(call, options_.limits));
  Result<EncodedPrompt> prompt = encode_prompt(*model.value(), call);
  if (!prompt.ok()) return prompt.status();
  return std::move(prompt->ids);
}

Result<std::string> LocalService::detokenize(const std::vector<TokenId>& ids) const {
  const Result<const ServedModel*> model = served();
  if (!model.ok()) return model.status();
  SLUICE_RETURN_IF_ERROR(check_ids(ids, model.value()->vocab_size, "tokens"));
  return decode(*model.value()->text->tokenizer, ids, /*skip_control=*/false);
}

std::string LocalService::token_spelling(TokenId id) const {
  const ServedModel* model = opened_;
  const bool known = model != nullptr && id >= 0 && id < model->text->tokenizer->vocab_size();
  return known ? model->text->tokenizer->spelling(id) : std::string();
}

SamplingParams LocalService::default_sampling() const {
  SamplingParams sampling;
  const ServedModel* model = opened_;
  if (model == nullptr) return sampling;
  const GenerationDefaults& defaults = model->defaults;
  sampling.temperature = defaults.temperature.value_or(sampling.temperature);
  sampling.top_p = defaults.top_p.value_or(sampling.top_p);
  sampling.top_k = defaults.top_k.value_or(sampling.top_k);
  sampling.min_p = defaults.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = defaults.repetition_penalty.value_or(sampling.repetition_penalty);
  return sampling;
}

ModelInfo LocalService::model() const {
  const ServedModel* model = opened_;
  return {options_.names, model == nullptr ? 0 : model->max_model_len, created_unix_s_};
}

Readiness LocalService::readiness() const {
  if (draining_) return Readiness::kDraining;
  const ServedModel* model = opened_;
  if (model == nullptr) return Readiness::kLoading;
  const EngineStats stats = model->engine->stats();
  const bool stalled = std::chrono::milliseconds(stats.last_step_age_ms) > options_.stall_after;
  return stalled || stats.failed ? Readiness::kStalled : Readiness::kReady;
}

void LocalService::end_overdue() {
  const ServedModel* model = opened_;
  if (model == nullptr) return;
  for (const std::string& id : deadlines_.take_overdue(std::chrono::steady_clock::now())) {
    model->engine->cancel(id);
  }
}

EngineStats LocalService::engine_stats() const {
  const ServedModel* model = opened_;
  return model == nullptr ? EngineStats{} : model->engine->stats();
}

}  // namespace sluice
