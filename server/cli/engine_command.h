// The frame of a command that runs an engine and reports what it found: bench latency and
// throughput, eval golden, retrieval and perplexity.
#pragma once

#include <functional>
#include <string>

#include "server/cli/assembly.h"
#include "server/cli/command.h"
#include "server/cli/report.h"

namespace sluice {

// Adds its findings to `report`, which holds machine and engine already. False: they are not as
// they should be, and the command fails.
using EngineWork =
    std::function<Result<bool>(EngineAssembly& engine, uint64_t seed, Report& report)>;

// What the frame takes from the command's own options, bound in `set` before the call.
struct EngineCommand {
  std::string json;        // file for the report, or empty
  bool check_ops = false;  // see assemble_engine
};

// Adds the engine's options to `set`, reads `arguments`, assembles the engine, does the work,
// prints the report and writes it to `command.json`. Returns the process's exit status. `command`
// is read after the arguments.
int run_engine_command(OptionSet& set, const Arguments& arguments, const EngineCommand& command,
                       const EngineWork& work);

}  // namespace sluice
