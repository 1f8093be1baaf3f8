// From an assembled engine to a Service: the text half of the composition root.
#pragma once

#include "server/cli/assembly.h"
#include "server/config.h"
#include "server/local_service.h"

namespace sluice {

// What a LocalService needs of `parts`, which must outlive it. Reads the model's tokenizer.
Result<ServedModel> served_model(const EngineAssembly& parts);
ServiceLimits service_limits(const ServerConfig& config);

}  // namespace sluice
