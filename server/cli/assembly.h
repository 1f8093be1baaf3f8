// Assembly: from a ServerConfig to an engine that is ready to run. The composition root's common
// part, used by every command that computes; here alone a concrete backend is named.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/model/decoder_model.h"
#include "engine/model/model_config.h"
#include "kernels/backend.h"
#include "kernels/checked_backend.h"
#include "kvcache/kv_storage.h"
#include "server/cli/report.h"
#include "server/config.h"

namespace sluice {

// Owns everything below the server; members are destroyed from the last to the first, so each one's
// borrowed neighbours outlive it.
struct EngineAssembly {
  std::string model_path;      // directory, or a config.json alone
  std::string model_name;      // its last component
  std::string tokenizer_path;  // directory
  ModelConfig model_config;
  std::unique_ptr<Backend> backend;
  CheckedBackend* checked = nullptr;  // `backend`, where its ops are checked
  std::unique_ptr<DecoderModel> model;
  std::unique_ptr<KvStorage> storage;
  EngineConfig engine_config;
  std::unique_ptr<Engine> engine;  // not started

  int64_t kv_tokens() const { return int64_t{storage->num_blocks()} * kBlockTokens; }
};

// Loads the model and allocates all memory; blocks for as long as that takes. Failures name the
// option or file and the way out.
//
// `check_ops`: every op runs on a second backend too, the CPU's (its plainest instruction set where
// the first is the CPU), and a result that differs too much throws. The KV cache then has the
// automatic size of the CPU, since it exists twice.
Result<std::unique_ptr<EngineAssembly>> assemble_engine(const ServerConfig& config,
                                                        bool check_ops = false);

// The device that `config` names, ready for work.
Result<std::unique_ptr<Backend>> make_backend(const ServerConfig& config);
// --dtype and its like: absent for "auto".
std::optional<DType> dtype_named(const std::string& name);

// The model that `config` names, or the embedded one, which is looked for in models/sluice-tiny and
// share/sluice/models/sluice-tiny beside the binary and above it. A name in messages is a path.
Result<std::string> resolve_model(const std::string& model);

// "sluice-tiny": the last component of the model's path, without ".json".
std::string model_name(const std::string& path);

// Blocks of a KV cache of `layout`. `requested_bytes` 0: at most kAutoKvBytes, a quarter of
// `free_bytes`, and what max_num_seqs longest sequences could use; but one longest sequence fits.
// Fails, naming what to lower, when that one sequence has no room.
inline constexpr int64_t kAutoKvBytes = int64_t{1} << 30;
struct KvDemand {
  int64_t requested_bytes = 0;
  int64_t free_bytes = 0;  // 0: unknown
  int64_t max_model_len = 0;
  int64_t max_num_seqs = 0;
};
Result<int> choose_kv_blocks(const KvLayout& layout, const KvDemand& demand);

// Adds what was measured: model, element types, device, KV tokens, bounds of a step.
void add_engine_section(Report& report, const EngineAssembly& parts);

// "1.5 GiB", "640 KiB": for people.
std::string readable_bytes(int64_t bytes);
// "12.1 M": for people.
std::string readable_count(int64_t count);

}  // namespace sluice
