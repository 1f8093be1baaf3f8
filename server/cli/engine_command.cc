// Options, engine, work, report: in this order, each with its own failure.
#include "server/cli/engine_command.h"

#include <iostream>

#include "base/log.h"

namespace sluice {

int run_engine_command(OptionSet& set, const Arguments& arguments, const EngineCommand& command,
                       const EngineWork& work) {
  ServerConfig config;
  config.decode_gap_ms = kMostDecodeGapMs;  // nobody reads the tokens as they come
  add_engine_options(set, config);
  if (const auto status = read_options(set, arguments)) return *status;
  if (const Status status = set_log_level(config.log_level); !status.ok()) return fail(status);
  Result<std::unique_ptr<EngineAssembly>> engine = assemble_engine(config, command.check_ops);
  if (!engine.ok()) return fail(engine.status());
  Report report;
  add_machine(report);
  add_engine_section(report, *engine.value());
  const Result<bool> passed = work(*engine.value(), static_cast<uint64_t>(config.seed), report);
  if (!passed.ok()) return fail(passed.status());
  if (const Status status = report.finish(std::cout, command.json); !status.ok())
    return fail(status);
  return passed.value() ? kExitOk : kExitFailed;
}

}  // namespace sluice
