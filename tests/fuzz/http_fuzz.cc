// libFuzzer's door to read_http_body.
#include <cstdint>

#include "http_bodies.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::read_http_body(std::as_bytes(std::span(data, size)));
  return 0;
}
