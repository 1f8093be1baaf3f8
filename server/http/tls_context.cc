// Reading the certificate and its key.
#include "server/http/tls_context.h"

#include "base/log.h"
#include "base/text.h"

namespace sluice {
namespace {

namespace ssl = boost::asio::ssl;

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::load(const TlsFiles& files) {
  std::unique_ptr<TlsContext> context(new TlsContext(files));
  context->seen_ = context->times();
  SLUICE_RETURN_IF_ERROR(context->read());
  return context;
}

TlsContext::Times TlsContext::times() const {
  std::error_code ignored;  // a file that is away for a moment has the earliest time
  return {std::filesystem::last_write_time(files_.certificate, ignored),
          std::filesystem::last_write_time(files_.key, ignored)};
}

Status TlsContext::read() {
  auto fresh = std::make_shared<ssl::context>(ssl::context::tls_server);
  fresh->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                     ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
  boost::system::error_code error;
  fresh->use_certificate_chain_file(files_.certificate, error);
  if (error) {
    return invalid_argument(str("--ssl-certfile ", files_.certificate, ": ", error.message()),
                            "ssl-certfile");
  }
  fresh->use_private_key_file(files_.key, ssl::context::pem, error);
  if (error) {
    return invalid_argument(str("--ssl-keyfile ", files_.key, ": ", error.message()),
                            "ssl-keyfile");
  }
  current_ = std::move(fresh);
  return {};
}

void TlsContext::reload_if_changed() {
  if (times() != seen_) reload();
}

void TlsContext::reload() {
  seen_ = times();
  if (const Status status = read(); status.ok()) {
    log_info("http: new connections get the new certificate");
  } else {
    log_error(str("http: the last certificate stays: ", status.message()));
  }
}

}  // namespace sluice
