// `sluice serve`: the server. The ports open first (alive, not ready), then the model loads, then
// requests are served until SIGINT or SIGTERM.
#include <chrono>
#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "server/cli/command.h"
#include "server/cli/engine_watch.h"
#include "server/cli/fronts.h"
#include "server/cli/open_files.h"
#include "server/cli/reload.h"
#include "server/cli/serving.h"
#include "server/cli/signals.h"
#include "server/local_service.h"
#include "server/metrics.h"
#include "server/version.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

milliseconds to_ms(double seconds) { return milliseconds(static_cast<int64_t>(seconds * 1e3)); }

LocalServiceOptions service_options(const ServerConfig& config, const std::string& model_name) {
  LocalServiceOptions service;
  service.names = config.served_model_names;
  if (service.names.empty()) service.names = {model_name};
  service.limits = service_limits(config);
  service.grammars.time_limit = to_ms(config.grammar_timeout_s);
  service.stall_after = to_ms(config.stall_timeout_s);
  service.request_timeout = to_ms(config.request_timeout_s);
  return service;
}

// What an operator wants to see before the first request.
void log_start(const EngineAssembly& parts, const std::string& urls, double seconds) {
  const EngineConfig& engine = parts.engine_config;
  const ModelConfig& model = parts.model_config;
  const double concurrency =
      static_cast<double>(parts.kv_tokens()) / static_cast<double>(engine.max_model_len);
  log_info(str("sluice ", version(), " (", version_commit(), ")"));
  log_info(str("  model     ", parts.model_name, ", ", readable_count(model.num_parameters()),
               " parameters, ", name_of(parts.model->weight_dtype()), ", from ", parts.model_path));
  log_info(str("  device    ", parts.backend->info().name));
  log_info(str("  KV cache  ", parts.kv_tokens(), " tokens, ",
               readable_bytes(parts.storage->bytes()), ", ", name_of(parts.storage->layout().dtype),
               ", prefix caching ", engine.enable_prefix_caching ? "on" : "off"));
  if (model.window > 0) {
    const int64_t windowed = model.num_windowed_layers();
    log_info(str("  window    ", model.window, " tokens in ", windowed, " of ", model.num_layers,
                 " layers; ",
                 engine.window > 0 ? "blocks behind it go back to the cache"
                                   : "the others keep the blocks behind it"));
  }
  log_info(str("  batch     ", engine.max_num_seqs, " sequences and ",
               engine.max_num_batched_tokens, " tokens a step; room for ",
               readable_count(static_cast<int64_t>(concurrency)), " requests of ",
               engine.max_model_len, " tokens"));
  log_info(str("  ready     ", urls, " after ", static_cast<int64_t>(seconds * 1e3), " ms"));
}

EngineWatchOptions watch_options(const ServerConfig& config) {
  return {.status_interval = to_ms(config.status_interval_s),
          .give_up_after = to_ms(config.watchdog_timeout_s)};
}

// A connection is an open file, on either port; so is what the process itself needs.
void allow_connections(int64_t max_connections) {
  constexpr int64_t kOwn = 256;
  const int64_t wanted = 2 * max_connections + kOwn;
  const int64_t allowed = allow_open_files(wanted);
  if (allowed >= wanted) return;
  log_warning(str("this process may open ", allowed, " files; --max-connections ", max_connections,
                  " wants ", wanted, ": raise the limit (ulimit -Hn) or lower the option"));
}

// A device that hangs cannot be unwound: a supervisor starts the server anew.
void give_up(const std::string& state) {
  log_error("the engine stands still; ending for a supervisor to start anew. " + state);
  std::_Exit(kExitStalled);
}

int serve(const Arguments& arguments, const OptionSet& options, const ServerConfig& config,
          SignalWatch& signals) {
  const auto begin = SteadyClock::now();
  ServerConfig resolved = config;
  const Result<std::string> model_path = resolve_model(config.model);
  if (!model_path.ok()) return fail(model_path.status());
  resolved.model = model_path.value();

  // Destroyed from the last to the first: the front before the service, that before the engine.
  std::unique_ptr<EngineAssembly> parts;
  LocalService service(service_options(config, model_name(resolved.model)));
  Metrics metrics(service.model().names.front(), config.vllm_metrics);
  allow_connections(config.max_connections);
  const Result<Fronts> fronts = open_fronts(service, metrics, config);
  if (!fronts.ok()) return fail(fronts.status());
  const HangupHandler reloading(signals, [&] { reload(arguments, options, fronts.value()); });

  Result<std::unique_ptr<EngineAssembly>> assembled = assemble_engine(resolved);
  if (!assembled.ok()) return fail(assembled.status());
  parts = std::move(assembled).value();
  Result<ServedModel> served = served_model(*parts, resolved);
  if (!served.ok()) return fail(served.status());
  parts->engine->start();
  service.open(std::move(served).value());
  const std::chrono::duration<double> spent = SteadyClock::now() - begin;
  log_start(*parts, fronts->urls(config.host), spent.count());

  const EngineWatch watch(service, watch_options(config), give_up);
  signals.wait();
  log_info(str("stopping: running requests have ", config.shutdown_timeout_s,
               " s; a second signal ends them at once"));
  service.drain();
  const int cut_off = fronts->stop(to_ms(config.shutdown_timeout_s));
  parts->engine->stop(Engine::Stop::kNow);
  if (cut_off > 0) log_warning(str(cut_off, " responses were cut off"));
  log_info("stopped");
  return kExitOk;
}

}  // namespace

int run_serve(const Arguments& arguments) {
  OptionSet set("serve", "Serves a model over OpenAI's API and gRPC.");
  ServerConfig config;
  add_server_options(set, config);
  if (const auto status = read_options(set, arguments)) return *status;
  if (const Status status = set_log_level(config.log_level); !status.ok()) return fail(status);
  SignalWatch signals;
  return serve(arguments, set, config, signals);
}

}  // namespace sluice
