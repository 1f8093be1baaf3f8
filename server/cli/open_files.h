// How many files, sockets among them, the process may open at a time.
#pragma once

#include <cstdint>

namespace sluice {

// Raises the limit to `wanted`, or as far as the system allows; never lowers it. Returns what
// holds.
int64_t allow_open_files(int64_t wanted);

}  // namespace sluice
