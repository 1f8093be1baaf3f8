// What this binary was built from.
#pragma once

namespace sluice {

const char* version();  // "0.1.0"
const char*
version_commit();  // "1a2b3c4d5e6f", with "+" after it where files differed; or "unknown"

}  // namespace sluice
