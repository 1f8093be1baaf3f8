// From an assembled engine to a Service: the text half of the composition root.
#pragma once

#include "server/cli/assembly.h"
#include "server/config.h"
#include "server/local_service.h"

namespace sluice {

// What a LocalService needs of `parts`, which must outlive it. Reads the model's tokenizer;
// `config` says what is looked for in answers.
Result<ServedModel> served_model(const EngineAssembly& parts, const ServerConfig& config);
ServiceLimits service_limits(const ServerConfig& config);

}  // namespace sluice
