// The body of the fuzz target for HTTP: what strangers send as bodies.
#pragma once

#include <cstddef>
#include <span>

namespace sluice {

// The first byte chooses the parser; anything else is ignored. Aborts when a property does not
// hold.
//   'c'  /v1/chat/completions        't'  /v1/completions
//   'k'  /tokenize                   'd'  /detokenize
//   's'  any bytes, written as a JSON string and read back
void read_http_body(std::span<const std::byte> input);

}  // namespace sluice
