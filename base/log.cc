// The only file that includes spdlog.
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "base/text.h"

namespace sluice {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "sluice", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
    made->flush_on(spdlog::level::warn);
    return made;
  }();
  return *instance;
}

spdlog::string_view_t view(std::string_view line) { return {line.data(), line.size()}; }

}  // namespace

void log_debug(std::string_view line) { logger().log(spdlog::level::debug, view(line)); }
void log_info(std::string_view line) { logger().log(spdlog::level::info, view(line)); }
void log_warning(std::string_view line) { logger().log(spdlog::level::warn, view(line)); }
void log_error(std::string_view line) { logger().log(spdlog::level::err, view(line)); }

Status set_log_level(std::string_view level) {
  static constexpr std::pair<std::string_view, spdlog::level::level_enum> kLevels[] = {
      {"debug", spdlog::level::debug},  {"info", spdlog::level::info},
      {"warning", spdlog::level::warn}, {"error", spdlog::level::err},
      {"off", spdlog::level::off},
  };
  for (const auto& [name, value] : kLevels) {
    if (name != level) continue;
    logger().set_level(value);
    return {};
  }
  return invalid_argument(
      str("log level is '", level, "'; it must be debug, info, warning, error or off"),
      "log-level");
}

}  // namespace sluice
