// gRPC's status of a failure, with the details that clients act on.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"

namespace sluice {

// The details (grpc-status-details-bin) are a google.rpc.Status: with RetryInfo where later may
// work, with BadRequest where a field is to blame.
grpc::Status to_grpc(const Status& status);

// "INVALID_ARGUMENT": for metrics and logs.
const char* code_name(StatusCode code);

}  // namespace sluice
