// A second reading of the options, beside the first.
#include "server/cli/reload.h"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "server/config.h"

namespace sluice {
namespace {

constexpr std::string_view kReloaded[] = {"api-key", "api-key-file", "log-level"};

// The options that differ and are not taken over: "port, max-num-seqs"; empty if there are none.
std::string waiting_for_restart(const OptionSet& running, const OptionSet& fresh) {
  std::string names;
  for (const Option& option : running.options()) {
    const bool taken =
        std::find(std::begin(kReloaded), std::end(kReloaded), option.name) != std::end(kReloaded);
    if (taken || value_text(option) == value_text(*fresh.find(option.name))) continue;
    names += (names.empty() ? "" : ", ") + option.name;
  }
  return names;
}

Status take_over(const Arguments& arguments, const OptionSet& running, const Fronts& fronts) {
  ServerConfig config;
  OptionSet fresh(running.command(), running.description());
  add_server_options(fresh, config);
  std::ostringstream unused;
  const auto outcome = fresh.read(arguments, process_environment, unused);
  if (!outcome.ok()) return outcome.status();
  Result<ApiKeys> keys = read_api_keys(config);
  if (!keys.ok()) return keys.status();
  if (keys->empty() && fronts.access->has_keys()) {
    return invalid_argument("no key is left; restart the server to open it to everybody");
  }

  SLUICE_RETURN_IF_ERROR(set_log_level(config.log_level));
  fronts.access->replace(std::move(keys).value());
  fronts.http->reload_tls();  // gRPC looks at the files by itself, every second
  if (const std::string names = waiting_for_restart(running, fresh); !names.empty()) {
    log_warning("reload: these wait for a restart: " + names);
  }
  return {};
}

}  // namespace

void reload(const Arguments& arguments, const OptionSet& running, const Fronts& fronts) {
  if (const Status status = take_over(arguments, running, fronts); status.ok()) {
    log_info("reloaded keys, certificates and the log level");
  } else {
    log_error("reload: everything stays as it is: " + status.message());
  }
}

}  // namespace sluice
