// GrpcFrontend: building, watching and stopping the gRPC server.
#include "server/grpc/grpc_frontend.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "server/grpc/grpc_front.h"
#include "server/grpc/inference_service.h"
#include "server/grpc/reflection_guard.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kWatchPeriod{100};  // of readiness and of stuck clients
constexpr unsigned kTlsPeriod_s = 1;       // of looking at the certificate's files
constexpr milliseconds kGrace{100};        // for last frames, once nothing runs any more
// Reflection is the one synchronous service: it holds a thread a stream.
constexpr int kMaxSyncThreads = 8;

// gRPC's own lines, into our log.
void log_line(gpr_log_func_args* line) {
  const std::string text = str("grpc: ", line->message);
  line->severity == GPR_LOG_SEVERITY_ERROR ? log_warning(text) : log_debug(text);
}

std::string address_of(const GrpcOptions& options) {
  const bool v6 = options.host.find(':') != std::string::npos;
  return str(v6 ? "[" : "", options.host, v6 ? "]" : "", ":", options.port);
}

void set_limits(const GrpcOptions& options, grpc::ServerBuilder& builder) {
  const auto ms = [](milliseconds time) { return static_cast<int>(time.count()); };
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(options.max_metadata_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, ms(options.keepalive_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ms(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             ms(options.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Else a second server on this port would start beside the first one.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("sluice");
  quota.Resize(options.max_buffer_bytes).SetMaxThreads(kMaxSyncThreads);
  builder.SetResourceQuota(quota);
}

std::shared_ptr<grpc::ServerCredentials> credentials(const TlsFiles& files) {
  if (!files.on()) return grpc::InsecureServerCredentials();
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      files.key, files.certificate, kTlsPeriod_s));
  options.watch_identity_key_cert_pairs();
  return tls::TlsServerCredentials(options);
}

class Frontend final : public GrpcFrontend {
 public:
  Frontend(Service& service, Metrics& metrics, const GrpcOptions& options)
      : front_(service, metrics, options), inference_(front_) {}
  ~Frontend() override { stop(milliseconds(0)); }

  Status listen();
  uint16_t port() const override { return port_; }
  int stop(milliseconds drain_limit) override;

 private:
  void watch();
  void set_serving(bool serving);

  GrpcFront front_;
  InferenceService inference_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;  // guarded by mutex_
  std::thread watcher_;
};

Status Frontend::listen() {
  gpr_set_log_function(log_line);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  set_limits(front_.options, builder);
  int bound = 0;
  const std::string address = address_of(front_.options);
  builder.AddListeningPort(address, credentials(front_.options.tls), &bound);
  builder.RegisterService(&inference_);
  guard_reflection(builder, front_.options.access);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || bound == 0) {
    return {StatusCode::kUnavailable,
            str("cannot listen for gRPC on ", address,
                ": the port is taken or the address is not this machine's; choose another "
                "--grpc-port, or 0 for none")};
  }
  port_ = static_cast<uint16_t>(bound);
  set_serving(false);
  watcher_ = std::thread([this] { watch(); });
  return {};
}

// Follows the service's readiness, and drops clients that take nothing.
void Frontend::watch() {
  bool serving = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kWatchPeriod, [this] { return ending_; })) {
    const bool ready = front_.service.readiness() == Readiness::kReady;
    if (ready != serving) set_serving(ready);
    serving = ready;
    const Clock::time_point limit = Clock::now() - front_.options.write_timeout;
    for (const auto& call : front_.calls.all()) call->drop_if_stuck(limit);
  }
}

void Frontend::set_serving(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus(serving);  // "" and every service
  health->SetServingStatus(v1::Inference::service_full_name(), serving);
}

int Frontend::stop(milliseconds drain_limit) {
  if (!watcher_.joinable()) return 0;
  const Clock::time_point limit = Clock::now() + drain_limit;
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  watcher_.join();
  server_->GetHealthCheckService()->Shutdown();  // NOT_SERVING, for good
  front_.calls.wait_until_none(limit);
  const auto cut_off = static_cast<int>(front_.calls.size());
  server_->Shutdown(std::chrono::system_clock::now() + kGrace);
  front_.calls.wait_until_none(Clock::time_point::max());
  return cut_off;
}

}  // namespace

Result<std::unique_ptr<GrpcFrontend>> GrpcFrontend::start(Service& service, Metrics& metrics,
                                                          const GrpcOptions& options) {
  auto front = std::make_unique<Frontend>(service, metrics, options);
  SLUICE_RETURN_IF_ERROR(front->listen());
  return std::unique_ptr<GrpcFrontend>(std::move(front));
}

}  // namespace sluice
