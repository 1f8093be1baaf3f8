// libFuzzer's door to read_text_input.
#include <cstdint>

#include "text_inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::read_text_input(std::as_bytes(std::span(data, size)));
  return 0;
}
