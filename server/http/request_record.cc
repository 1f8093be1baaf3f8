// The end of a request.
#include "server/http/request_record.h"

#include "base/log.h"
#include "base/text.h"

namespace sluice {

RequestRecord::~RequestRecord() {
  metrics_.count_http(route_, code_);
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - arrival_);
  log_debug(str("http: ", method_, " ", route_, " ", code_, " ", spent.count(), " ms ", id_));
}

}  // namespace sluice
