// The log: five levels, one line each, to stderr, from any thread. spdlog is included in log.cc
// only.
#pragma once

#include <string_view>

#include "base/status.h"

namespace sluice {

void log_debug(std::string_view line);
void log_info(std::string_view line);
void log_warning(std::string_view line);
void log_error(std::string_view line);

// "debug", "info", "warning", "error" or "off"; process-wide, callable at any time. Default: info.
Status set_log_level(std::string_view level);

}  // namespace sluice
