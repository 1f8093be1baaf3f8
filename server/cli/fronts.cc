// From the configuration to the open ports.
#include "server/cli/fronts.h"

#include <algorithm>
#include <fstream>
#include <future>
#include <utility>

#include "base/text.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxKeys = 4096;  // each request is compared with all of them

milliseconds to_ms(double seconds) { return milliseconds(static_cast<int64_t>(seconds * 1e3)); }

HttpOptions http_options(const ServerConfig& config) {
  HttpOptions http;
  http.host = config.host;
  http.port = static_cast<uint16_t>(config.port);
  http.threads = static_cast<int>(config.http_threads);
  http.max_connections = static_cast<int>(config.max_connections);
  http.max_header_bytes = static_cast<size_t>(config.max_header_bytes.value);
  http.max_body_bytes = static_cast<size_t>(config.max_body_bytes.value);
  http.max_pending_bytes = static_cast<size_t>(config.max_pending_bytes.value);
  http.read_timeout = to_ms(config.read_timeout_s);
  http.idle_timeout = to_ms(config.idle_timeout_s);
  http.write_timeout = to_ms(config.write_timeout_s);
  http.max_prompts = static_cast<int>(config.max_prompts);
  http.allowed_origins = config.allowed_origins;
  return http;
}

GrpcOptions grpc_options(const ServerConfig& config) {
  GrpcOptions grpc;
  grpc.host = config.host;
  grpc.port = static_cast<uint16_t>(config.grpc_port);
  grpc.threads = static_cast<int>(config.grpc_threads);
  grpc.max_calls = static_cast<int>(config.max_connections);
  grpc.max_streams_per_connection = static_cast<int>(config.grpc_max_streams);
  grpc.max_message_bytes = static_cast<size_t>(config.max_body_bytes.value);
  grpc.max_metadata_bytes = static_cast<size_t>(config.max_header_bytes.value);
  grpc.write_timeout = to_ms(config.write_timeout_s);
  grpc.keepalive_interval = to_ms(config.grpc_keepalive_s);
  return grpc;
}

Result<TlsFiles> tls_files(const ServerConfig& config) {
  if (config.ssl_certfile.empty() != config.ssl_keyfile.empty()) {
    return invalid_argument("--ssl-certfile and --ssl-keyfile need each other; give both or none",
                            "ssl-keyfile");
  }
  return TlsFiles{.certificate = config.ssl_certfile, .key = config.ssl_keyfile};
}

std::string trimmed(const std::string& line) {
  constexpr const char* kBlank = " \t\r";
  const size_t begin = line.find_first_not_of(kBlank);
  return begin == std::string::npos ? std::string()
                                    : line.substr(begin, line.find_last_not_of(kBlank) - begin + 1);
}

Status append_keys_of_file(const std::string& path, std::vector<std::string>& keys) {
  std::ifstream file(path);
  if (!file) return invalid_argument(str("--api-key-file ", path, " cannot be read"));
  const size_t before = keys.size();
  for (std::string line; keys.size() <= kMaxKeys && std::getline(file, line);) {
    std::string key = trimmed(line.substr(0, line.find('#')));
    if (!key.empty()) keys.push_back(std::move(key));
  }
  if (keys.size() > before) return {};
  return invalid_argument(str("--api-key-file ", path, " holds no key"));
}

}  // namespace

Result<ApiKeys> read_api_keys(const ServerConfig& config) {
  std::vector<std::string> keys = config.api_keys;
  if (!config.api_key_file.empty()) {
    SLUICE_RETURN_IF_ERROR(append_keys_of_file(config.api_key_file, keys));
  }
  if (keys.size() > kMaxKeys) {
    return invalid_argument(str("more than ", kMaxKeys, " API keys"), "api-key");
  }
  for (const std::string& key : keys) {
    const bool visible =
        std::all_of(key.begin(), key.end(), [](unsigned char c) { return c > ' ' && c < 0x7F; });
    if (key.empty() || !visible) {
      return invalid_argument(
          "an API key is empty or holds other characters than visible ASCII; leave --api-key and "
          "SLUICE_API_KEY out for a server without keys",
          "api-key");
    }
  }
  return ApiKeys(std::move(keys));
}

Result<Fronts> open_fronts(Service& service, Metrics& metrics, const ServerConfig& config) {
  Result<ApiKeys> keys = read_api_keys(config);
  if (!keys.ok()) return keys.status();
  Result<TlsFiles> tls = tls_files(config);
  if (!tls.ok()) return tls.status();

  Fronts fronts;
  fronts.tls = tls->on();
  fronts.access = std::make_shared<AccessGate>(std::move(keys).value());
  if (!config.request_log.empty()) {
    Result<std::unique_ptr<RequestLog>> log = RequestLog::open(config.request_log);
    if (!log.ok()) return log.status();
    fronts.request_log = std::move(log).value();
  }

  HttpOptions for_http = http_options(config);
  for_http.request_log = fronts.request_log.get();
  for_http.access = fronts.access;
  for_http.tls = tls.value();
  Result<std::unique_ptr<HttpFrontend>> http = HttpFrontend::start(service, metrics, for_http);
  if (!http.ok()) return http.status();
  fronts.http = std::move(http).value();
  if (config.grpc_port == 0) return fronts;

  GrpcOptions for_grpc = grpc_options(config);
  for_grpc.request_log = fronts.request_log.get();
  for_grpc.access = fronts.access;
  for_grpc.tls = std::move(tls).value();
  Result<std::unique_ptr<GrpcFrontend>> grpc = GrpcFrontend::start(service, metrics, for_grpc);
  if (!grpc.ok()) return grpc.status();
  fronts.grpc = std::move(grpc).value();
  return fronts;
}

std::string Fronts::urls(const std::string& host) const {
  const bool v6 = host.find(':') != std::string::npos;
  const std::string name = v6 ? str("[", host, "]") : host;
  std::string out = str(tls ? "https://" : "http://", name, ":", http->port());
  if (grpc != nullptr) out += str(", gRPC ", name, ":", grpc->port());
  return out;
}

int Fronts::stop(milliseconds limit) const {
  auto of_grpc =
      std::async(std::launch::async, [&] { return grpc == nullptr ? 0 : grpc->stop(limit); });
  const int of_http = http->stop(limit);
  return of_http + of_grpc.get();
}

}  // namespace sluice
