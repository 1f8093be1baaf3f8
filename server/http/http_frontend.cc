// HttpFrontend: the routes on the sockets.
#include "server/http/http_frontend.h"

#include "server/http/api_handler.h"
#include "server/http/http_server.h"

namespace sluice {
namespace {

class Frontend final : public HttpFrontend {
 public:
  Frontend(Service& service, Metrics& metrics, const HttpOptions& options)
      : handler_(service, metrics, options) {}

  Status listen(const HttpOptions& options) {
    Result<std::unique_ptr<HttpServer>> server = HttpServer::start(handler_, options);
    if (!server.ok()) return server.status();
    server_ = std::move(server).value();
    return {};
  }

  uint16_t port() const override { return server_->port(); }
  int num_connections() const override { return server_->num_connections(); }
  void reload_tls() override { server_->reload_tls(); }
  int stop(std::chrono::milliseconds drain_limit) override { return server_->stop(drain_limit); }

 private:
  ApiHandler handler_;
  std::unique_ptr<HttpServer> server_;  // destroyed first: its threads call the handler
};

}  // namespace

Result<std::unique_ptr<HttpFrontend>> HttpFrontend::start(Service& service, Metrics& metrics,
                                                          const HttpOptions& options) {
  auto front = std::make_unique<Frontend>(service, metrics, options);
  SLUICE_RETURN_IF_ERROR(front->listen(options));
  return std::unique_ptr<HttpFrontend>(std::move(front));
}

}  // namespace sluice
