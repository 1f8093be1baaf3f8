// Model, backend, KV cache, runner, engine: in this order, each with its own failure.
#include "server/cli/assembly.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <limits>
#include <sstream>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "engine/model/model_loader.h"
#include "engine/runner/local_runner.h"
#include "engine/runner/warm_up.h"
#include "kernels/cpu/cpu_backend.h"
#include "server/cli/container_limits.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEmbeddedModel = "models/sluice-tiny";
constexpr int kMaxParents =
    5;  // folders above the binary in which the embedded model is looked for

// Unless set: one a core that this process may use, and no more than the container's CPU quota pays
// for, as all wait for the one that is throttled.
int num_threads(const ServerConfig& config) {
  if (config.threads > 0) return static_cast<int>(config.threads);
  auto threads = static_cast<int>(std::thread::hardware_concurrency());
  if (const auto cpus = read_container_limits().cpus) {
    threads = std::min(threads, static_cast<int>(*cpus));
  }
  return std::max(threads, 1);
}

// Of the backend's memory; on the host, what the container leaves of it. 0: unknown.
int64_t bytes_free(const BackendInfo& info) {
  const std::optional<int64_t> container = read_container_limits().memory_bytes_free;
  if (!info.is_host || !container) return info.memory_bytes_free;
  const int64_t known = std::max<int64_t>(*container, 1);
  return info.memory_bytes_free > 0 ? std::min(info.memory_bytes_free, known) : known;
}

Result<std::unique_ptr<Backend>> make_device(const ServerConfig& config) {
  const std::optional<DType> activations = dtype_named(config.activation_dtype);
#ifdef SLUICE_WITH_CUDA
  if (config.device != "cpu") {
    const std::string cache_dir = config.kernel_cache_dir == "auto"
                                      ? default_cache_dir(process_environment)
                                      : config.kernel_cache_dir;
    Result<std::unique_ptr<Backend>> cuda =
        make_cuda_backend(activations.value_or(kCudaActivations), cache_dir);
    if (cuda.ok() || config.device == "cuda") return cuda;
    log_info(str("--device auto: ", cuda.status().message(), "; running on the CPU"));
  }
#else
  if (config.device == "cuda") {
    return Status(StatusCode::kUnimplemented,
                  "--device cuda: this build has no CUDA backend; use --device cpu", "device");
  }
#endif
  return make_cpu_backend(num_threads(config), activations.value_or(kCpuActivations));
}

Status check_with_reference(const ServerConfig& config, EngineAssembly& parts) {
  const BackendInfo info = parts.backend->info();
  const char* const isa = info.is_host ? "generic" : "";
  Result<std::unique_ptr<Backend>> reference =
      make_cpu_backend(num_threads(config), isa, info.activations);
  if (!reference.ok()) return reference.status();
  auto checked = std::make_unique<CheckedBackend>(
      std::move(parts.backend), std::move(reference).value(), CheckTolerance::of(info.activations));
  parts.checked = checked.get();
  parts.backend = std::move(checked);
  return {};
}

RunnerLimits runner_limits(const ServerConfig& config, const Backend& backend) {
  return {.max_num_batched_tokens = static_cast<int>(config.max_num_batched_tokens),
          .max_num_seqs = static_cast<int>(config.max_num_seqs),
          .max_in_flight = backend.info().is_host ? 1 : 2};
}

// Free memory that is not given away: the driver loads each kernel when it is first launched.
constexpr int64_t kDriverBytes = int64_t{256} << 20;

// What a GPU has left for the KV cache; the weights and all that a step needs are there already.
Result<int64_t> device_kv_bytes(const ServerConfig& config, const EngineAssembly& parts) {
  const BackendInfo info = parts.backend->info();
  const auto budget = static_cast<int64_t>(config.gpu_memory_utilization *
                                           static_cast<double>(info.memory_bytes_total));
  const int64_t used = info.memory_bytes_total - info.memory_bytes_free;
  const int64_t left = std::min(budget - used, info.memory_bytes_free - kDriverBytes);
  if (left > 0) return left;
  return Status(StatusCode::kResourceExhausted,
                str("the GPU has ", readable_bytes(info.memory_bytes_total), ", of which ",
                    readable_bytes(used),
                    " are in use, by the weights and a step of "
                    "--max-num-batched-tokens ",
                    config.max_num_batched_tokens,
                    " too: nothing is left for the KV cache; lower that, or raise "
                    "--gpu-memory-utilization"),
                "gpu-memory-utilization");
}

Result<int64_t> choose_model_len(const ServerConfig& config, const ModelConfig& model) {
  if (config.max_model_len > model.max_position) {
    return invalid_argument(
        str("--max-model-len is ", config.max_model_len, "; the model has ", model.max_position,
            " positions", model.max_position_reason.empty() ? "" : ": ", model.max_position_reason),
        "max-model-len");
  }
  return config.max_model_len > 0 ? config.max_model_len : model.max_position;
}

Result<EngineConfig> make_engine_config(const ServerConfig& config, const EngineAssembly& parts,
                                        int64_t max_model_len) {
  EngineConfig engine;
  engine.vocab_size = parts.model_config.vocab_size;
  engine.max_model_len = max_model_len;
  engine.num_blocks = parts.storage->num_blocks();
  engine.window = parts.model_config.common_window();
  engine.max_num_seqs = static_cast<int>(config.max_num_seqs);
  engine.max_num_batched_tokens = static_cast<int>(config.max_num_batched_tokens);
  engine.max_queued_requests = static_cast<int>(config.max_queued_requests);
  engine.max_logprob_rows = static_cast<int>(config.max_logprob_rows);
  engine.decode_gap_ms = config.decode_gap_ms;
  engine.min_prefill_tokens = static_cast<int>(config.min_prefill_tokens);
  engine.row_tile = parts.backend->info().row_tile;
  engine.mask_threads = static_cast<int>(config.grammar_threads);
  engine.enable_prefix_caching = config.enable_prefix_caching;
  SLUICE_RETURN_IF_ERROR(engine.validate());
  return engine;
}

Result<std::unique_ptr<KvStorage>> make_storage(const ServerConfig& config,
                                                const EngineAssembly& parts,
                                                int64_t max_model_len) {
  const DType dtype = dtype_named(config.kv_cache_dtype).value_or(parts.model->weight_dtype());
  const KvLayout layout = parts.model->kv_layout(dtype);
  int64_t wanted = config.kv_cache_memory.value;
  if (wanted == 0 && !parts.backend->info().is_host && parts.checked == nullptr) {
    const Result<int64_t> left = device_kv_bytes(config, parts);
    if (!left.ok()) return left.status();
    wanted = left.value();
  }
  const Result<int> blocks =
      choose_kv_blocks(layout, {.requested_bytes = wanted,
                                .free_bytes = bytes_free(parts.backend->info()),
                                .max_model_len = max_model_len,
                                .max_num_seqs = config.max_num_seqs});
  if (!blocks.ok()) return blocks.status();
  Result<KvStorage> storage = KvStorage::create(*parts.backend, layout, blocks.value());
  if (!storage.ok()) return storage.status();
  return std::make_unique<KvStorage>(std::move(storage).value());
}

// A host loads no kernels, and where ops are checked their reference would take minutes.
void warm_up_device(LocalRunner& runner, const RunnerLimits& limits, const EngineAssembly& parts) {
  const auto start = std::chrono::steady_clock::now();
  const int steps =
      warm_up(runner, limits, parts.engine_config.max_model_len, parts.engine_config.num_blocks);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  log_info(str("warmed up with ", steps, " steps in ", took.count(), " s"));
}

// Products of float32 weights take float32 inputs, on every device.
Status check_activations(const ServerConfig& config, DType weights) {
  if (weights != DType::kF32 || config.activation_dtype != "bfloat16") return {};
  return invalid_argument(
      "--activation-dtype bfloat16: the weights are float32, whose products take float32 inputs; "
      "use --dtype bfloat16 or --activation-dtype auto",
      "activation-dtype");
}

// Three digits and the largest of five units, `step` apart, that keeps the number at least 1.
std::string readable(double amount, double step, const std::array<const char*, 5>& units) {
  size_t unit = 0;
  for (; amount >= step && unit + 1 < units.size(); ++unit) amount /= step;
  std::ostringstream out;
  out << std::setprecision(amount >= 1000 ? 4 : 3) << amount;
  if (*units[unit] != '\0') out << " " << units[unit];
  return out.str();
}

}  // namespace

std::optional<DType> dtype_named(const std::string& name) {
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  return std::nullopt;  // auto
}

Result<std::unique_ptr<Backend>> make_backend(const ServerConfig& config) {
  Result<std::unique_ptr<Backend>> backend = make_device(config);
  if (backend.ok() && config.batch_invariant && !backend.value()->batch_invariant()) {
    return Status(StatusCode::kUnimplemented,
                  str("--batch-invariant: ", backend.value()->info().name, " cannot guarantee it"),
                  "batch-invariant");
  }
  return backend;
}

Result<std::string> resolve_model(const std::string& model) {
  if (!model.empty()) {
    if (fs::exists(model)) return model;
    return Status(StatusCode::kNotFound,
                  str(model, ": there is no such model directory or GGUF file"), "model");
  }
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int i = 0; i < kMaxParents; ++i, folder = folder.parent_path()) {
    for (const fs::path& candidate :
         {folder / kEmbeddedModel, folder / "share/sluice" / kEmbeddedModel}) {
      if (fs::exists(candidate / "config.json", error)) return candidate.string();
    }
  }
  return Status(StatusCode::kNotFound,
                str("no model is given, and ", kEmbeddedModel,
                    " is not found beside the binary; name a model directory"),
                "model");
}

Result<int> choose_kv_blocks(const KvLayout& layout, const KvDemand& demand) {
  const int64_t block_bytes = layout.block_bytes();
  const int64_t sequence_blocks = ceil_div(demand.max_model_len, kBlockTokens);
  const int64_t sequence_bytes = sequence_blocks * block_bytes;
  int64_t bytes = demand.requested_bytes;
  if (bytes == 0) {
    bytes = kAutoKvBytes;
    if (demand.free_bytes > 0) bytes = std::min(bytes, demand.free_bytes / 4);
    const int64_t useful_blocks = sequence_blocks * demand.max_num_seqs;
    bytes =
        std::clamp(bytes, sequence_bytes, std::max(sequence_bytes, useful_blocks * block_bytes));
    if (demand.free_bytes > 0 && bytes > demand.free_bytes) {
      return Status(StatusCode::kResourceExhausted,
                    str("one sequence of --max-model-len ", demand.max_model_len, " tokens needs ",
                        readable_bytes(sequence_bytes), " of KV cache and ",
                        readable_bytes(demand.free_bytes),
                        " of memory are free; lower --max-model-len to at most ",
                        demand.free_bytes / block_bytes * kBlockTokens),
                    "max-model-len");
    }
  }
  if (bytes < sequence_bytes) {
    return invalid_argument(
        str("a KV cache of ", readable_bytes(bytes), " holds ", bytes / block_bytes * kBlockTokens,
            " tokens, less than one sequence of --max-model-len ", demand.max_model_len,
            "; lower that, or raise --kv-cache-memory-bytes to at least ", sequence_bytes),
        "kv-cache-memory-bytes");
  }
  return static_cast<int>(
      std::min<int64_t>(bytes / block_bytes, std::numeric_limits<BlockId>::max()));
}

std::string readable_bytes(int64_t bytes) {
  return readable(static_cast<double>(bytes), 1024, {"bytes", "KiB", "MiB", "GiB", "TiB"});
}

std::string readable_count(int64_t count) {
  return readable(static_cast<double>(count), 1000, {"", "k", "M", "G", "T"});
}

std::string model_name(const std::string& path) {
  const fs::path whole = fs::weakly_canonical(path);
  const fs::path last = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  return last.extension() == ".json" || last.extension() == ".gguf" ? last.stem().string()
                                                                    : last.string();
}

void add_engine_section(Report& report, const EngineAssembly& parts) {
  const DType weights = parts.model->weight_dtype();
  const DType activations = weights == DType::kF32 ? weights : parts.backend->info().activations;
  report.section("engine") = {
      {"model", parts.model_name},
      {"parameters", parts.model_config.num_parameters()},
      {"device", parts.backend->info().name},
      {"dtype", std::string(name_of(weights))},
      {"activation_dtype", std::string(name_of(activations))},
      {"kv_dtype", std::string(name_of(parts.storage->layout().dtype))},
      {"kv_tokens", parts.kv_tokens()},
      {"max_model_len", parts.engine_config.max_model_len},
      {"max_num_seqs", int64_t{parts.engine_config.max_num_seqs}},
      {"max_num_batched_tokens", int64_t{parts.engine_config.max_num_batched_tokens}}};
}

Result<std::unique_ptr<EngineAssembly>> assemble_engine(const ServerConfig& config,
                                                        bool check_ops) {
  auto parts = std::make_unique<EngineAssembly>();
  Result<std::string> path = resolve_model(config.model);
  if (!path.ok()) return path.status();
  parts->model_path = std::move(path).value();
  parts->model_name = sluice::model_name(parts->model_path);

  parts->tokenizer_path = config.tokenizer.empty() ? parts->model_path : config.tokenizer;
  Result<ModelConfig> model_config = read_model_config(parts->model_path);
  if (!model_config.ok()) return model_config.status();
  parts->model_config = std::move(model_config).value();
  const Result<int64_t> max_model_len = choose_model_len(config, parts->model_config);
  if (!max_model_len.ok()) return max_model_len.status();
  const ModelOptions options{.path = parts->model_path,
                             .dummy_weights = config.load_format == "dummy",
                             .dtype = dtype_named(config.dtype),
                             .seed = static_cast<uint64_t>(config.seed),
                             .max_model_len = max_model_len.value()};
  SLUICE_RETURN_IF_ERROR(check_activations(config, weight_dtype(options, parts->model_config)));

  Result<std::unique_ptr<Backend>> backend = make_backend(config);
  if (!backend.ok()) return backend.status();
  parts->backend = std::move(backend).value();
  if (check_ops) SLUICE_RETURN_IF_ERROR(check_with_reference(config, *parts));

  Result<std::unique_ptr<DecoderModel>> model =
      load_decoder_model(options, parts->model_config, *parts->backend);
  if (!model.ok()) return model.status();
  parts->model = std::move(model).value();

  const RunnerLimits limits = runner_limits(config, *parts->backend);
  Result<StepMemory> step = StepMemory::create(*parts->backend, *parts->model, limits);
  if (!step.ok()) {
    return Status(step.status().code(),
                  str("a step of --max-num-batched-tokens ", limits.max_num_batched_tokens,
                      " and --max-num-seqs ", limits.max_num_seqs, " does not fit; lower them (",
                      step.status().message(), ")"),
                  "max-num-batched-tokens");
  }
  Result<std::unique_ptr<KvStorage>> storage = make_storage(config, *parts, max_model_len.value());
  if (!storage.ok()) return storage.status();
  parts->storage = std::move(storage).value();

  Result<EngineConfig> engine_config = make_engine_config(config, *parts, max_model_len.value());
  if (!engine_config.ok()) return engine_config.status();
  parts->engine_config = std::move(engine_config).value();
  auto runner = std::make_unique<LocalRunner>(*parts->backend, *parts->model, *parts->storage,
                                              std::move(step).value());
  if (!parts->backend->info().is_host && !check_ops) warm_up_device(*runner, limits, *parts);
  parts->engine = std::make_unique<Engine>(parts->engine_config, std::move(runner));
  return parts;
}

}  // namespace sluice
