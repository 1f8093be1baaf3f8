// libFuzzer's door to read_model_file.
#include <cstdint>

#include "model_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::read_model_file(std::as_bytes(std::span(data, size)));
  return 0;
}
