// The text of HTTP/1.1 responses and targets. No sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/http/http_handler.h"

namespace sluice {

// How a response is framed and whether the connection lives on.
struct Framing {
  bool keep_alive = true;
  bool chunked = false;    // else Content-Length, or until the connection closes
  bool head_only = false;  // an answer to HEAD: the header fields of a GET, no body
};

// Status line and header fields, with the empty line.
std::string response_head(const HttpResponse& response, const Framing& framing);
// Appends `data`, which is not empty, as one chunk.
void append_chunk(std::string* out, std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The path of a request target ("/a%20b?c" or "http://host/a%20b"): decoded, without query. Absent
// where the encoding is broken.
std::optional<std::string> target_path(std::string_view target);

}  // namespace sluice
