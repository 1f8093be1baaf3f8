// The table of the server's options: name, bounds and meaning of each. configs/server.yaml repeats
// it with comments, and a test holds the two together.
#include "server/config.h"

#include <cstdlib>

namespace sluice {
namespace {

constexpr double kMaxCount = 1 << 20;  // of sequences, tokens a step, queued requests
constexpr double kMaxBytes = 0x1p50;
constexpr double kKiB = 1 << 10;
constexpr double kMiB = 1 << 20;
constexpr double kMaxSeconds = 86400;

void add_model_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "model",
               .group = kModelGroup,
               .target = &config.model,
               .help =
                   "Directory with config.json and weights, a GGUF file, or a config.json alone "
                   "with --load-format dummy. Default: the embedded sluice-tiny",
               .positional = true});
  options.add({.name = "tokenizer",
               .group = kModelGroup,
               .target = &config.tokenizer,
               .help = "Directory with the tokenizer's files. Default: the model's directory"});
  options.add({.name = "load-format",
               .group = kModelGroup,
               .target = &config.load_format,
               .help = "dummy: random weights from --seed, no weight files",
               .choices = {"auto", "dummy"}});
  options.add({.name = "dtype",
               .group = kModelGroup,
               .target = &config.dtype,
               .help = "Element type of the weights in memory; auto: as in the checkpoint",
               .choices = {"auto", "bfloat16", "float32"}});
  options.add({.name = "activation-dtype",
               .group = kModelGroup,
               .target = &config.activation_dtype,
               .help = "What the inputs of bfloat16 products are rounded to: bfloat16 is faster, "
                       "float32 keeps 16 bits; auto: float32 on the CPU, bfloat16 on a GPU",
               .choices = {"auto", "bfloat16", "float32"}});
  options.add({.name = "max-model-len",
               .group = kModelGroup,
               .target = &config.max_model_len,
               .help = "Most tokens of prompt and output together; auto: the model's own limit",
               .min = 1,
               .max = 1 << 24,
               .zero_is_auto = true});
  options.add({.name = "seed",
               .group = kModelGroup,
               .target = &config.seed,
               .help = "Seed of dummy weights, and of random prompts in benches",
               .max = 0x1p53});
}

void add_answer_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "tool-call-parser",
               .group = kModelGroup,
               .target = &config.tool_call_parser,
               .help = "How the model writes calls of tools; auto: as its chat template shows; "
                       "none: calls stay text",
               .choices = {"auto", "none", "hermes", "llama3_json", "mistral", "pythonic"}});
  options.add({.name = "enable-auto-tool-choice",
               .group = kModelGroup,
               .target = &config.enable_auto_tool_choice,
               .help = "Look for calls that a request's tool_choice does not force"});
  options.add({.name = "reasoning-parser",
               .group = kModelGroup,
               .target = &config.reasoning_parser,
               .help = "How the model marks its reasoning; auto: as its chat template shows; "
                       "none: reasoning stays text",
               .choices = {"auto", "none", "deepseek_r1", "granite", "mistral", "qwen3"}});
}

void add_device_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "device",
               .group = kDeviceGroup,
               .target = &config.device,
               .help = "Where the model runs; auto: the best device that this build supports",
               .choices = {"auto", "cpu", "cuda"}});
  options.add({.name = "threads",
               .group = kDeviceGroup,
               .target = &config.threads,
               .help = "Threads of the CPU backend; auto: one a core",
               .min = 1,
               .max = 1024,
               .zero_is_auto = true});
  options.add({.name = "batch-invariant",
               .group = kDeviceGroup,
               .target = &config.batch_invariant,
               .help = "Outputs that do not depend, to the bit, on what else is in the batch"});
  options.add({.name = "kernel-cache-dir",
               .group = kDeviceGroup,
               .target = &config.kernel_cache_dir,
               .help =
                   "Directory that keeps, between starts, which GPU kernels were measured to be "
                   "fastest; auto: $XDG_CACHE_HOME/sluice or ~/.cache/sluice; empty: none, "
                   "each start measures"});
}

void add_cache_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "kv-cache-dtype",
               .group = kCacheGroup,
               .target = &config.kv_cache_dtype,
               .help = "Element type of cached keys and values; auto: that of the weights",
               .choices = {"auto", "bfloat16", "float32"}});
  options.add({.name = "kv-cache-memory-bytes",
               .group = kCacheGroup,
               .target = &config.kv_cache_memory,
               .help = "Memory of the KV cache, as 1GiB or 512MiB; auto on the CPU: at most 1GiB "
                       "and a quarter of the free memory, but room for one longest sequence; on "
                       "a GPU: see gpu-memory-utilization",
               .min = 1,
               .max = kMaxBytes,
               .zero_is_auto = true});
  options.add({.name = "gpu-memory-utilization",
               .group = kCacheGroup,
               .target = &config.gpu_memory_utilization,
               .help =
                   "Share of the GPU's memory that weights, a step and the KV cache fill together, "
                   "where kv-cache-memory-bytes is auto",
               .min = 0.05,
               .max = 1});
  options.add({.name = "enable-prefix-caching",
               .group = kCacheGroup,
               .target = &config.enable_prefix_caching,
               .help = "Keep finished prompts' keys and values for requests that begin alike"});
}

void add_scheduler_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "max-num-seqs",
               .group = kSchedulerGroup,
               .target = &config.max_num_seqs,
               .help = "Most sequences in one step",
               .min = 1,
               .max = kMaxCount});
  options.add({.name = "max-num-batched-tokens",
               .group = kSchedulerGroup,
               .target = &config.max_num_batched_tokens,
               .help = "Most tokens in one step; longer prompts are computed in chunks",
               .min = 1,
               .max = kMaxCount});
  options.add({.name = "max-queued-requests",
               .group = kSchedulerGroup,
               .target = &config.max_queued_requests,
               .help = "Most requests that wait; more are refused with status 429",
               .min = 1,
               .max = kMaxCount});
  options.add({.name = "max-logprob-rows",
               .group = kSchedulerGroup,
               .target = &config.max_logprob_rows,
               .help = "Most prompt tokens that are scored in one step",
               .min = 1,
               .max = kMaxCount});
  options.add({.name = "decode-gap-ms",
               .group = kSchedulerGroup,
               .target = &config.decode_gap_ms,
               .help = "While others decode, prompts are cut so that a step takes about this long",
               .min = 1,
               .max = kMostDecodeGapMs});
  options.add({.name = "min-prefill-tokens",
               .group = kSchedulerGroup,
               .target = &config.min_prefill_tokens,
               .help = "And yet a waiting prompt gets this many tokens in every step",
               .min = 1,
               .max = kMaxCount});
  options.add({.name = "grammar-threads",
               .group = kSchedulerGroup,
               .target = &config.grammar_threads,
               .help = "Threads that fill the token masks of structured outputs",
               .min = 0,
               .max = 64});
}

void add_http_options(OptionSet& options, ServerConfig& config) {
  const auto add = [&](const char* name, Option::Target target, const char* help, double min = 0,
                       double max = 0) {
    options.add({.name = name,
                 .group = kHttpGroup,
                 .target = target,
                 .help = help,
                 .min = min,
                 .max = max});
  };
  add("host", &config.host, "Address to listen on; 0.0.0.0 for all of IPv4, :: for all");
  add("port", &config.port, "Port to listen on; 0: any free one, named in the log", 0, 65535);
  add("served-model-name", &config.served_model_names,
      "Name in the API, repeatable; the first one is reported. Default: the directory's name");
  add("http-threads", &config.http_threads,
      "Threads that read and write; as many more parse and tokenise", 1, 64);
  add("max-connections", &config.max_connections, "Open connections; one more is answered 503", 1,
      kMaxCount);
  add("max-header-bytes", &config.max_header_bytes, "Of one request; more is answered 431", kKiB,
      kMiB);
  add("max-body-bytes", &config.max_body_bytes, "Of one request; more is answered 413", kKiB,
      1024 * kMiB);
  add("max-pending-bytes", &config.max_pending_bytes,
      "Unsent bytes of one response; a client that lets more pile up is dropped", kKiB,
      1024 * kMiB);
  add("read-timeout", &config.read_timeout_s, "Seconds for a whole request; then 408", 0.1,
      kMaxSeconds);
  add("idle-timeout", &config.idle_timeout_s, "Seconds that a connection may wait for a request",
      0.1, kMaxSeconds);
  add("write-timeout", &config.write_timeout_s,
      "Seconds after which a client that reads nothing is dropped", 0.1, kMaxSeconds);
  add("stall-timeout", &config.stall_timeout_s,
      "Seconds without an engine step, while work waits, until /health/ready fails", 0.1,
      kMaxSeconds);
  add("watchdog-timeout", &config.watchdog_timeout_s,
      "Seconds without one until the server ends with status 3; 0: never", 0, kMaxSeconds);
  add("request-timeout", &config.request_timeout_s,
      "Seconds that a request may take in all; then 504; 0: as long as it likes", 0, kMaxSeconds);
  add("shutdown-timeout", &config.shutdown_timeout_s,
      "Seconds that running requests are given after SIGTERM", 0, kMaxSeconds);
}

void add_security_options(OptionSet& options, ServerConfig& config) {
  options.add({.name = "api-key",
               .group = kSecurityGroup,
               .target = &config.api_keys,
               .help = "Key that clients must send, repeatable; better in the environment or a "
                       "file, as other users see a command line",
               .secret = true});
  options.add({.name = "api-key-file",
               .group = kSecurityGroup,
               .target = &config.api_key_file,
               .help = "File of further keys, one a line; # begins a comment"});
  options.add({.name = "ssl-certfile",
               .group = kSecurityGroup,
               .target = &config.ssl_certfile,
               .help = "Certificate chain (PEM): both ports speak TLS, and follow its changes"});
  options.add({.name = "ssl-keyfile",
               .group = kSecurityGroup,
               .target = &config.ssl_keyfile,
               .help = "The certificate's private key (PEM)"});
  options.add({.name = "allowed-origins",
               .group = kSecurityGroup,
               .target = &config.allowed_origins,
               .help = "Origin of web pages that may ask (CORS), repeatable; *: any"});
}

void add_grpc_options(OptionSet& options, ServerConfig& config) {
  const auto add = [&](const char* name, Option::Target target, double min, double max,
                       const char* help) {
    options.add({.name = name,
                 .group = kGrpcGroup,
                 .target = target,
                 .help = help,
                 .min = min,
                 .max = max});
  };
  add("grpc-port", &config.grpc_port, 0, 65535, "Port of the gRPC interface; 0: none");
  add("grpc-threads", &config.grpc_threads, 1, 64,
      "Threads that detokenise and write; as many more parse and tokenise");
  add("grpc-max-streams", &config.grpc_max_streams, 1, kMaxCount,
      "Calls at once on one connection; further ones wait on the client's side");
  add("grpc-keepalive", &config.grpc_keepalive_s, 10, kMaxSeconds,
      "Seconds of silence after which a client is asked whether it lives");
}

void add_request_options(OptionSet& options, ServerConfig& config) {
  const auto add = [&](const char* name, Option::Target target, double min, double max,
                       const char* help) {
    options.add({.name = name,
                 .group = kRequestGroup,
                 .target = target,
                 .help = help,
                 .min = min,
                 .max = max});
  };
  add("max-prompts", &config.max_prompts, 1, kMaxCount, "Prompts in one /v1/completions");
  add("max-output-tokens", &config.max_output_tokens, 1, 1 << 26, "Output tokens of all choices");
  add("max-stop-strings", &config.max_stop_strings, 0, 64, "Stop strings");
  add("max-messages", &config.max_messages, 1, kMaxCount, "Messages of one chat");
  add("grammar-timeout", &config.grammar_timeout_s, 0.01, 600,
      "Seconds that a schema or grammar may take to compile; then 400");
}

}  // namespace

void add_server_options(OptionSet& options, ServerConfig& config) {
  add_model_options(options, config);
  add_answer_options(options, config);
  add_device_options(options, config);
  add_cache_options(options, config);
  add_scheduler_options(options, config);
  add_http_options(options, config);
  add_security_options(options, config);
  add_grpc_options(options, config);
  add_request_options(options, config);
  options.add({.name = "log-level",
               .group = kLogGroup,
               .target = &config.log_level,
               .help = "Least important lines that are logged",
               .choices = {"debug", "info", "warning", "error", "off"}});
  options.add(
      {.name = "request-log",
       .group = kLogGroup,
       .target = &config.request_log,
       .help = "File for a line of JSON a request, without its content; -: standard output"});
  options.add({.name = "status-interval",
               .group = kLogGroup,
               .target = &config.status_interval_s,
               .help = "Seconds between two lines of status, while there is work; 0: none",
               .max = kMaxSeconds});
  options.add({.name = "vllm-metrics",
               .group = kLogGroup,
               .target = &config.vllm_metrics,
               .help = "/metrics has what vLLM exports too under its names as well"});
}

std::string default_cache_dir(const OptionSet::Environment& environment) {
  const auto value = [&](const char* name) -> std::string {
    const char* set = environment(name);
    return set != nullptr ? set : "";
  };
  if (const std::string cache = value("XDG_CACHE_HOME"); !cache.empty()) return cache + "/sluice";
  if (const std::string home = value("HOME"); !home.empty()) return home + "/.cache/sluice";
  return "";
}

const char* process_environment(const std::string& name) { return std::getenv(name.c_str()); }

}  // namespace sluice
