// Options and failures of the commands.
#include "server/cli/command.h"

#include <iostream>

#include "base/log.h"

namespace sluice {

std::optional<int> read_options(OptionSet& options, const Arguments& arguments) {
  const Result<OptionSet::Outcome> outcome =
      options.read(arguments, process_environment, std::cout);
  if (!outcome.ok()) {
    std::cerr << "sluice " << options.command() << ": " << outcome.status().message() << "\n";
    return kExitUsage;
  }
  if (outcome.value() == OptionSet::Outcome::kDone) return kExitOk;
  return std::nullopt;
}

void add_engine_options(OptionSet& options, ServerConfig& config) {
  add_server_options(options, config);
  options.hide_group(kHttpGroup);
  options.hide_group(kSecurityGroup);
  options.hide_group(kGrpcGroup);
  options.hide_group(kRequestGroup);
}

void add_json_option(OptionSet& options, const char* group, std::string& path) {
  options.add({.name = "json",
               .group = group,
               .target = &path,
               .help = "File for the results as JSON",
               .command_line_only = true});
}

int fail(const Status& status) {
  log_error(status.message());
  return kExitFailed;
}

}  // namespace sluice
