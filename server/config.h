// ServerConfig: everything that an operator may set, with its default; and the table that reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/options.h"

namespace sluice {

// Groups of options; the headings of --help. A command hides the groups that it has no use for.
inline constexpr const char* kModelGroup = "Model";
inline constexpr const char* kDeviceGroup = "Device";
inline constexpr const char* kCacheGroup = "KV cache";
inline constexpr const char* kSchedulerGroup = "Scheduler";
inline constexpr const char* kHttpGroup = "HTTP";
inline constexpr const char* kSecurityGroup = "Security";
inline constexpr const char* kGrpcGroup = "gRPC";
inline constexpr const char* kRequestGroup = "Request limits";
inline constexpr const char* kLogGroup = "Log";

inline constexpr double kMostDecodeGapMs = 60000;  // as good as no bound

// Defaults stand here; names, bounds and meaning in add_server_options (config.cc).
struct ServerConfig {
  std::string model;      // directory; empty: the embedded model
  std::string tokenizer;  // directory; empty: the model's
  std::string load_format = "auto";
  std::string dtype = "auto";
  std::string activation_dtype = "auto";
  int64_t max_model_len = 0;  // 0: the model's own
  std::string tool_call_parser = "auto";
  bool enable_auto_tool_choice = true;
  std::string reasoning_parser = "auto";
  int64_t seed = 0;

  std::string device = "auto";
  int64_t threads = 0;  // 0: one a core
  bool batch_invariant = false;
  std::string kernel_cache_dir = "auto";  // auto: default_cache_dir(); empty: none

  std::string kv_cache_dtype = "auto";
  ByteCount kv_cache_memory;  // 0: assembly.cc chooses
  double gpu_memory_utilization = 0.92;
  bool enable_prefix_caching = true;

  int64_t max_num_seqs = 256;
  int64_t max_num_batched_tokens = 2048;
  int64_t max_queued_requests = 1024;
  int64_t max_logprob_rows = 256;
  double decode_gap_ms = 50;
  int64_t min_prefill_tokens = 32;
  int64_t grammar_threads = 2;

  std::string host = "127.0.0.1";
  int64_t port = 8000;
  std::vector<std::string> served_model_names;
  int64_t http_threads = 2;
  int64_t max_connections = 4096;
  ByteCount max_header_bytes{16 << 10};
  ByteCount max_body_bytes{4 << 20};
  ByteCount max_pending_bytes{64 << 10};
  double read_timeout_s = 30;
  double idle_timeout_s = 75;
  double write_timeout_s = 30;
  double stall_timeout_s = 30;
  double watchdog_timeout_s = 600;
  double request_timeout_s = 0;
  double shutdown_timeout_s = 30;

  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::string ssl_certfile;
  std::string ssl_keyfile;
  std::vector<std::string> allowed_origins;

  int64_t grpc_port = 50051;
  int64_t grpc_threads = 2;
  int64_t grpc_max_streams = 1024;
  double grpc_keepalive_s = 60;

  int64_t max_prompts = 256;
  int64_t max_output_tokens = 1 << 20;
  int64_t max_stop_strings = 16;
  int64_t max_messages = 4096;
  double grammar_timeout_s = 5;

  std::string log_level = "info";
  double status_interval_s = 10;
  std::string request_log;
  bool vllm_metrics = true;
};

// Binds every option of the server to `config`, which must outlive `options`.
void add_server_options(OptionSet& options, ServerConfig& config);

// Where this user's programs keep what they can make again: $XDG_CACHE_HOME/sluice, else
// $HOME/.cache/sluice (the XDG base directory specification); empty where neither is set.
std::string default_cache_dir(const OptionSet::Environment& environment);

// The process's environment, for OptionSet::read.
const char* process_environment(const std::string& name);

}  // namespace sluice
