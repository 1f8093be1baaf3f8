// The key before server reflection, whose service is the library's own.
#pragma once

#include <grpcpp/server_builder.h>

#include "server/access.h"

namespace sluice {

// Calls of reflection without one of `keys` are cancelled before they are answered. Before
// BuildAndStart.
void guard_reflection(grpc::ServerBuilder& builder, const ApiKeys& keys);

}  // namespace sluice
