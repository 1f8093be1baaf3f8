// The end of a request.
#include "server/http/request_record.h"

#include "base/log.h"
#include "base/text.h"

namespace sluice {

RequestRecord::~RequestRecord() {
  metrics_.count_http(route_, code_);
  const Clock::duration spent = Clock::now() - arrival_;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(spent).count();
  log_debug(str("http: ", method_, " ", route_, " ", code_, " ", ms, " ms ", id_));
  if (log_ == nullptr) return;
  log_->write({.front = "http",
               .call = route_,
               .code = str(code_),
               .request_id = id_,
               .trace = trace_,
               .spent = spent,
               .counts = counts_});
}

}  // namespace sluice
