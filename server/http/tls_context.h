// TlsContext: the certificate that new connections get, read again when its files change.
#pragma once

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <memory>

#include "base/status.h"
#include "server/tls_files.h"

namespace sluice {

// One thread, the acceptor's; contexts that were given away live as long as their connections.
class TlsContext {
 public:
  // Fails with the file and OpenSSL's reason.
  static Result<std::unique_ptr<TlsContext>> load(const TlsFiles& files);

  const std::shared_ptr<boost::asio::ssl::context>& current() const { return current_; }
  // Loads the files. What cannot be used is said in the log, and the last good certificate stays.
  void reload();
  // Loads them if they have changed.
  void reload_if_changed();

 private:
  using Times = std::array<std::filesystem::file_time_type, 2>;

  explicit TlsContext(TlsFiles files) : files_(std::move(files)) {}
  Times times() const;
  Status read();

  const TlsFiles files_;
  Times seen_;
  std::shared_ptr<boost::asio::ssl::context> current_;
};

}  // namespace sluice
