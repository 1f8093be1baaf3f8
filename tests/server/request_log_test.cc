// Lines of the request log.
#include "server/request_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace sluice {
namespace {

TEST(RequestLog, ALineSaysWhatWasDoneAndNotWhatWasSaid) {
  RequestEntry entry{.front = "grpc",
                     .call = "Generate",
                     .code = "OK",
                     .request_id = "a\"b",
                     .trace = {},
                     .spent = std::chrono::milliseconds(12),
                     .counts = {}};
  const std::chrono::system_clock::time_point when(std::chrono::milliseconds(1'700'000'000'042));
  EXPECT_EQ(json_line(entry, when),
            R"({"time":"2023-11-14T22:13:20.042Z","front":"grpc","call":"Generate","code":"OK",)"
            R"("request_id":"a\"b","ms":12})"
            "\n");
  entry.trace = {.trace_id = "0af7651916cd43dd8448eb211c80319c",
                 .parent_id = "b7ad6b7169203331",
                 .span_id = "00f067aa0ba902b7",
                 .flags = "01"};
  entry.counts = RequestCounts{.usage = {.prompt_tokens = 1, .completion_tokens = 2},
                               .first_token = std::chrono::milliseconds(7)};
  EXPECT_NE(
      json_line(entry, when)
          .find(R"("trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00f067aa0ba902b7",)"
                R"("parent_span_id":"b7ad6b7169203331","ms":12,"first_token_ms":7,)"
                R"("prompt_tokens":1,"completion_tokens":2,"cached_tokens":0})"),
      std::string::npos);
}

TEST(RequestLog, AppendsToItsFile) {
  const std::string path = ::testing::TempDir() + "sluice_request_log_test";
  std::ofstream(path) << "kept\n";
  RequestEntry entry;
  entry.front = "http";
  for (int i = 0; i < 2; ++i) RequestLog::open(path).value()->write(entry);
  std::ifstream file(path);
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) ++lines;
  EXPECT_EQ(lines, 3);
  EXPECT_FALSE(RequestLog::open("/no/such/folder/log").ok());
}

}  // namespace
}  // namespace sluice
