// Framing of responses.
#include "server/http/http_wire.h"

#include <charconv>
#include <ctime>

namespace sluice {
namespace {

std::string_view reason_phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Unknown";
  }
}

// "Sun, 06 Nov 1994 08:49:37 GMT", in the C locale's words.
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, length};
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

}  // namespace

std::string response_head(const HttpResponse& response, const Framing& framing) {
  std::string out = "HTTP/1.1 ";
  out += std::to_string(response.code);
  out += ' ';
  out += reason_phrase(response.code);
  out += "\r\nDate: ";
  out += http_date();
  out += "\r\nServer: sluice\r\n";
  const auto field = [&out](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  for (const auto& [name, value] : response.headers) field(name, value);
  constexpr int kNoContent = 204;
  if (response.code != kNoContent) {
    field("Content-Type", response.content_type);
    if (framing.chunked) {
      field("Transfer-Encoding", "chunked");
    } else if (!response.streamed) {
      field("Content-Length", std::to_string(response.body.size()));
    }
  }
  field("Connection", framing.keep_alive ? "keep-alive" : "close");
  out += "\r\n";
  return out;
}

void append_chunk(std::string* out, std::string_view data) {
  char size[20];
  const auto end = std::to_chars(size, size + sizeof size, data.size(), 16);
  out->append(size, end.ptr).append("\r\n").append(data).append("\r\n");
}

std::optional<std::string> target_path(std::string_view target) {
  if (const size_t scheme = target.find("://");
      scheme != std::string_view::npos && scheme < target.find_first_of("/?")) {
    const size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  target = target.substr(0, target.find_first_of("?#"));
  std::string out;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] != '%') {
      out.push_back(target[i]);
      continue;
    }
    if (i + 2 >= target.size()) return std::nullopt;
    const std::optional<int> high = hex_digit(target[i + 1]);
    const std::optional<int> low = hex_digit(target[i + 2]);
    if (!high || !low) return std::nullopt;
    out.push_back(static_cast<char>(*high * 16 + *low));
    i += 2;
  }
  return out;
}

}  // namespace sluice
