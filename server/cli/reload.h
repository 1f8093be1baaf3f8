// reload: what a running server takes over at SIGHUP: keys, the certificate, the log level.
#pragma once

#include "server/cli/commands.h"
#include "server/cli/fronts.h"
#include "server/options.h"

namespace sluice {

// Reads the options of `sluice serve` again, from the same `arguments`, environment and file as
// `running`, with the files that they name. If anything is wrong with them, nothing changes. Other
// options that differ are named in the log: they wait for a restart. A server with keys does not
// lose them all. Says in the log how it went; one call at a time.
void reload(const Arguments& arguments, const OptionSet& running, const Fronts& fronts);

}  // namespace sluice
