// `sluice healthcheck`: asks a server on this machine whether it is ready. For containers: it reads
// the same environment and file as `sluice serve`, so it finds the port, and TLS, by itself.
#include <csignal>
#include <iostream>

#include "base/text.h"
#include "server/cli/command.h"
#include "server/cli/http_client.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Health check";

// The address at which a server that listens on `host` is reached from its own machine.
std::string reachable(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  return host == "::" ? "::1" : host;
}

}  // namespace

int run_healthcheck(const Arguments& arguments) {
  OptionSet set("healthcheck", "Says whether the server on this machine is ready: exit status 0.");
  ServerConfig config;
  bool live = false;
  int64_t timeout_s = 5;
  set.add({.name = "live",
           .group = kGroup,
           .target = &live,
           .help = "Ask only whether the process answers, not whether it is ready",
           .command_line_only = true});
  set.add({.name = "timeout",
           .group = kGroup,
           .target = &timeout_s,
           .help = "Seconds to wait for the answer",
           .min = 1,
           .max = 600,
           .command_line_only = true});
  add_server_options(set, config);
  for (const char* group : {kModelGroup, kDeviceGroup, kCacheGroup, kSchedulerGroup, kGrpcGroup,
                            kRequestGroup, kLogGroup}) {
    set.hide_group(group);
  }
  if (const auto status = read_options(set, arguments)) return *status;
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a connection that may have gone
  const HttpTarget target{.host = reachable(config.host),
                          .port = static_cast<int>(config.port),
                          .timeout = std::chrono::seconds(timeout_s),
                          .tls = !config.ssl_certfile.empty()};
  const Result<HttpAnswer> answer =
      http_request(target, "GET", live ? "/health/live" : "/health/ready", "");
  if (!answer.ok()) return fail(answer.status());
  std::cout << answer->body << "\n";
  return answer->code == 200 ? kExitOk : kExitFailed;
}

}  // namespace sluice
