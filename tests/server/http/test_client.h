// TestClient: a blocking HTTP client on a raw socket, for tests that must be rude.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct TestResponse {
  int code = 0;                                // 0: the connection ended before a response
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // without chunk framing
  bool whole = false;                          // it ended as it should
};

class TestClient {
 public:
  // Connects to the loopback port. `receive_buffer` > 0 makes a client that holds little.
  explicit TestClient(uint16_t port, int receive_buffer = 0);
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  bool send(std::string_view bytes);
  // The next bytes, at most `limit`; empty at the end, on a reset and after five seconds.
  std::string receive(size_t limit = 64 * 1024);
  // Reads until `mark` has come; what came.
  std::string receive_until(std::string_view mark);
  // Reads one whole response; what follows it stays for the next call.
  TestResponse response(bool head_only = false);
  bool at_end() { return rest_.empty() && receive(1).empty(); }
  void shutdown_send();
  void close();
  void reset();  // as close(), but the peer sees a reset

 private:
  bool fill();
  bool read_chunks(std::string* body);

  int fd_ = -1;
  std::string rest_;  // received, not consumed
};

// A request with Content-Length and JSON's Content-Type.
std::string post(std::string_view path, std::string_view body, std::string_view headers = "");
std::string get(std::string_view path, std::string_view headers = "");
// One request on a connection of its own.
TestResponse fetch(uint16_t port, std::string_view request);
// The payloads of the "data: " lines.
std::vector<std::string> events(const std::string& body);

}  // namespace sluice
