// What every command does around its own work: read its options, say what failed.
#pragma once

#include <optional>

#include "server/cli/commands.h"
#include "server/config.h"
#include "server/options.h"

namespace sluice {

// Reads `arguments` into the bound options. The exit status, if there is nothing to run: help was
// shown, or the arguments are wrong (said on stderr).
std::optional<int> read_options(OptionSet& options, const Arguments& arguments);

// Adds the options of a command that runs the engine without a server: no HTTP and gRPC flags.
void add_engine_options(OptionSet& options, ServerConfig& config);
// Adds --json to the group of a command's own options.
void add_json_option(OptionSet& options, const char* group, std::string& path);

// Says `status` on stderr; returns kExitFailed.
int fail(const Status& status);

}  // namespace sluice
