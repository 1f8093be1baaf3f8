// `sluice generate`: one answer, written as it comes, without a server.
#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "server/cli/answer_text.h"
#include "server/cli/command.h"
#include "server/cli/prompt_options.h"
#include "server/cli/serving.h"
#include "server/local_service.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Generate";
constexpr std::chrono::milliseconds kPatience{1000};  // of one wait; then it waits again

struct GenerateOptions {
  PromptOptions ask;
  bool chat = false;
  double top_p = -1;
  bool ignore_eos = false;
};

void add_options(OptionSet& set, GenerateOptions& options) {
  options.ask.add_to(set, kGroup, /*positional=*/false,
                     "Text to continue; - reads it from standard input");
  set.add({.name = "chat",
           .group = kGroup,
           .target = &options.chat,
           .help = "The prompt is a user's message, put into the model's chat template",
           .command_line_only = true});
  set.add({.name = "top-p",
           .group = kGroup,
           .target = &options.top_p,
           .help = "Draw from the most likely tokens of this share; -1: as the model recommends",
           .min = -1,
           .max = 1,
           .command_line_only = true});
  set.add({.name = "ignore-eos",
           .group = kGroup,
           .target = &options.ignore_eos,
           .help = "Go on past the end of the answer",
           .command_line_only = true});
}

GenerateCall make_call(const GenerateOptions& options, const ServerConfig& config,
                       const SamplingParams& defaults) {
  GenerateCall call;
  const std::string prompt = options.ask.text();
  if (options.chat) {
    call.prompt = std::vector<ChatMessage>{{.role = "user", .content = prompt, .name = {}}};
  } else {
    call.prompt = prompt;
  }
  call.sampling = defaults;
  if (options.ask.temperature >= 0) {
    call.sampling.temperature = static_cast<float>(options.ask.temperature);
  }
  if (options.top_p >= 0) call.sampling.top_p = static_cast<float>(options.top_p);
  call.sampling.ignore_eos = options.ignore_eos;
  call.sampling.seed = static_cast<uint64_t>(config.seed);
  call.max_tokens_given = options.ask.max_tokens > 0;
  if (call.max_tokens_given) call.sampling.max_tokens = options.ask.max_tokens;
  return call;
}

Status write_answer(Service& service, GenerateCall call, std::ostream& out) {
  Result<std::unique_ptr<Generation>> generation = service.generate(std::move(call));
  if (!generation.ok()) return generation.status();
  AnswerText answer(out);
  while (!generation.value()->finished()) {
    for (const TextDelta& delta : generation.value()->wait(kPatience)) {
      answer.add(delta.reasoning, delta.text);
      out << std::flush;
      if (delta.finish == FinishReason::kError) return delta.error;
    }
  }
  out << "\n";
  return {};
}

}  // namespace

int run_generate(const Arguments& arguments) {
  OptionSet set("generate", "Writes one answer to standard output.");
  GenerateOptions options;
  ServerConfig config;
  config.log_level = "warning";
  add_options(set, options);
  add_engine_options(set, config);
  if (const auto status = read_options(set, arguments)) return *status;
  if (const Status status = set_log_level(config.log_level); !status.ok()) return fail(status);
  if (options.ask.prompt.empty()) {
    return fail(invalid_argument("--prompt is empty; give it a text, or - for standard input"));
  }

  Result<std::unique_ptr<EngineAssembly>> parts = assemble_engine(config);
  if (!parts.ok()) return fail(parts.status());
  Result<ServedModel> served = served_model(*parts.value(), config);
  if (!served.ok()) return fail(served.status());
  LocalService service({.names = {parts.value()->model_name}, .limits = service_limits(config)});
  parts.value()->engine->start();
  service.open(std::move(served).value());
  const Status status =
      write_answer(service, make_call(options, config, service.default_sampling()), std::cout);
  parts.value()->engine->stop(Engine::Stop::kNow);
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace sluice
