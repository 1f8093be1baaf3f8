// OpenAI's error bodies, from Status: one table for every endpoint and for errors inside streams.
#pragma once

#include <string>

#include "base/status.h"

namespace sluice {

// The HTTP status of a failure.
int http_code(StatusCode code);
// {"error":{"message":...,"type":...,"param":...,"code":...}}
std::string error_body(const Status& status);

}  // namespace sluice
