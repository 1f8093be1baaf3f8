// TlsFiles: where the certificate and the key of the ports lie.
#pragma once

#include <string>

namespace sluice {

// Both PEM; both empty: no TLS. They are read again when they change.
struct TlsFiles {
  std::string certificate;  // the server's own first, then the chain
  std::string key;

  bool on() const { return !certificate.empty(); }
};

}  // namespace sluice
