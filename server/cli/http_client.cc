// The body by Content-Length, in chunks, or up to the end of the connection.
#include "server/cli/http_client.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/text.h"

namespace sluice {
namespace {

constexpr size_t kMaxHeaderBytes = 64 * 1024;
constexpr size_t kMaxBodyBytes = size_t{64} << 20;  // of an answer that is kept

// Bytes that have come and are not used up yet.
class Reader {
 public:
  explicit Reader(ClientChannel& channel) : channel_(channel) {}

  // Waits for more; false at the end of the connection, after an error, and after the time limit.
  bool fill() {
    char piece[16 * 1024];
    const ssize_t got = channel_.receive(piece, sizeof piece);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(got));
    return true;
  }
  std::string_view waiting() const { return std::string_view(buffer_).substr(used_); }
  void use(size_t count) {
    used_ += count;
    if (used_ == buffer_.size()) {
      buffer_.clear();
      used_ = 0;
    }
  }
  // The bytes before the next `mark`, which is used up too; absent if it does not come in time.
  std::optional<std::string> until(std::string_view mark) {
    size_t at = waiting().find(mark);
    while (at == std::string_view::npos) {
      if (waiting().size() > kMaxHeaderBytes || !fill()) return std::nullopt;
      at = waiting().find(mark);
    }
    std::string before(waiting().substr(0, at));
    use(at + mark.size());
    return before;
  }
  // Hands `count` bytes to `take`, in pieces.
  bool pass(uint64_t count, const std::function<void(std::string_view)>& take) {
    while (count > 0) {
      if (waiting().empty() && !fill()) return false;
      const auto piece =
          waiting().substr(0, static_cast<size_t>(std::min<uint64_t>(count, waiting().size())));
      take(piece);
      count -= piece.size();
      use(piece.size());
    }
    return true;
  }

 private:
  ClientChannel& channel_;
  std::string buffer_;
  size_t used_ = 0;
};

std::optional<uint64_t> parse_number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// The value of a header field, without surrounding spaces; empty if there is none.
std::string field(const std::string& head, std::string_view name) {
  const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  for (size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = std::string_view(head).substr(at + 2);
    if (line.size() <= name.size() || line[name.size()] != ':' ||
        !std::equal(name.begin(), name.end(), line.begin(), same)) {
      continue;
    }
    const std::string_view value =
        line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
    const size_t first = std::min(value.find_first_not_of(' '), value.size());
    return std::string(value.substr(first));
  }
  return {};
}

bool read_chunks(Reader& reader, const std::function<void(std::string_view)>& take) {
  while (true) {
    const auto size_line = reader.until("\r\n");
    const auto size = size_line ? parse_number(*size_line, 16) : std::nullopt;
    if (!size || !reader.pass(*size, take)) return false;
    const auto end = reader.until("\r\n");  // of the chunk; an empty line after the last one
    if (!end || !end->empty()) return false;
    if (*size == 0) return true;
  }
}

bool read_body(Reader& reader, const std::string& head,
               const std::function<void(std::string_view)>& take) {
  if (field(head, "transfer-encoding") == "chunked") return read_chunks(reader, take);
  if (const auto length = parse_number(field(head, "content-length"), 10)) {
    return reader.pass(*length, take);
  }
  do {
    take(reader.waiting());
    reader.use(reader.waiting().size());
  } while (reader.fill());
  return true;
}

}  // namespace

Result<HttpAnswer> http_request(const HttpTarget& target, std::string_view method,
                                std::string_view path, std::string_view body,
                                const std::function<void(std::string_view)>& on_body) {
  const Result<std::unique_ptr<ClientChannel>> channel = open_channel(target);
  if (!channel.ok()) return channel.status();
  std::string request = str(method, " ", path, " HTTP/1.1\r\nHost: ", target.host, ":", target.port,
                            "\r\nConnection: close\r\n");
  if (!body.empty()) {
    request += str("Content-Type: application/json\r\nContent-Length: ", body.size(), "\r\n");
  }
  request += "\r\n";
  request += body;
  if (!channel.value()->send_all(request)) {
    return channel_failure(target, "cannot send the request");
  }

  Reader reader(*channel.value());
  const std::optional<std::string> head = reader.until("\r\n\r\n");
  if (!head || !head->starts_with("HTTP/1.") || head->size() < 12) {
    return channel_failure(target, "sends no HTTP answer");
  }
  HttpAnswer answer;
  answer.code =
      static_cast<int>(parse_number(std::string_view(*head).substr(9, 3), 10).value_or(0));
  const bool stream = on_body && answer.code == 200;
  const auto take = [&](std::string_view piece) {
    if (stream) {
      on_body(piece);
    } else if (answer.body.size() + piece.size() <= kMaxBodyBytes) {
      answer.body += piece;
    }
  };
  if (!read_body(reader, *head, take)) return channel_failure(target, "broke off in its answer");
  return answer;
}

void EventSplitter::feed(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = piece.find('\n');
    line_ += piece.substr(0, end);
    if (end == std::string_view::npos) return;
    piece.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    constexpr std::string_view kData = "data:";
    if (line_.starts_with(kData)) {
      std::string_view data = std::string_view(line_).substr(kData.size());
      if (data.starts_with(' ')) data.remove_prefix(1);
      on_data_(data);
    }
    line_.clear();
  }
}

}  // namespace sluice
