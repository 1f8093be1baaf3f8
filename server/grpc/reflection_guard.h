// The key before server reflection, whose service is the library's own.
#pragma once

#include <grpcpp/server_builder.h>

#include <memory>

#include "server/access.h"

namespace sluice {

// Calls of reflection that `access` refuses are cancelled before they are answered. Before
// BuildAndStart.
void guard_reflection(grpc::ServerBuilder& builder, std::shared_ptr<const AccessGate> access);

}  // namespace sluice
