// Request: what a client asked for. Immutable once submitted, shared between threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "engine/grammar.h"
#include "engine/output_stream.h"
#include "engine/sampling_params.h"

namespace sluice {

struct Request {
  std::string id;               // unique; chosen by the service
  std::vector<TokenId> prompt;  // at least one token
  SamplingParams sampling;
  std::vector<TokenId> eos_ids;            // end the choice unless sampling.ignore_eos
  std::shared_ptr<const Grammar> grammar;  // what each answer must be; null: anything
  int priority = 0;                        // lower runs first; equal ones by arrival
  uint64_t cache_salt = 0;                 // prefixes are shared only between equal salts
  std::chrono::steady_clock::time_point arrival;
  std::shared_ptr<OutputStream> output;  // where its events go; never null
};

using RequestPtr = std::shared_ptr<const Request>;

}  // namespace sluice
