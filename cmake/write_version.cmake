# Run at each build: writes OUTPUT, the .cc file behind server/version.h, when the commit has changed. Where there is no
# repository, the environment's SLUICE_COMMIT is believed.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --abbrev=12 --exclude=* --dirty=+
  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE FAILED)
if(FAILED)
  set(COMMIT "$ENV{SLUICE_COMMIT}")
endif()
if(NOT COMMIT MATCHES "^[0-9A-Za-z._+-]+$")
  set(COMMIT unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[// Written by cmake/write_version.cmake.
#include "server/version.h"

namespace sluice {

const char* version() { return "@VERSION@"; }
const char* version_commit() { return "@COMMIT@"; }

}  // namespace sluice
]])
