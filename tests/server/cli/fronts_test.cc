// Keys from the command line and from a file.
#include "server/cli/fronts.h"

#include <gtest/gtest.h>

#include <fstream>

namespace sluice {
namespace {

std::string write_file(const std::string& text) {
  const std::string path = ::testing::TempDir() + "sluice_fronts_test_keys";
  std::ofstream(path) << text;
  return path;
}

TEST(ReadApiKeys, ThereAreNoneByDefault) {
  const ApiKeys keys = read_api_keys({}).value();
  EXPECT_TRUE(keys.empty());
  EXPECT_TRUE(keys.check("").ok());
}

TEST(ReadApiKeys, JoinsOptionAndFile) {
  ServerConfig config;
  config.api_keys = {"a", "b"};
  config.api_key_file = write_file("# comment\n\n  c \r\nd # of the night shift\n");
  const ApiKeys keys = read_api_keys(config).value();
  for (const char* key : {"a", "b", "c", "d"}) {
    EXPECT_TRUE(keys.check(std::string("Bearer ") + key).ok()) << key;
  }
  for (const char* wrong : {"", "a", "Bearer", "Bearer ", "Bearer e", "Bearer ab", "Basic a"}) {
    EXPECT_EQ(keys.check(wrong).code(), StatusCode::kUnauthenticated) << wrong;
  }
}

TEST(ReadApiKeys, RefusesWhatWouldLeaveTheDoorOpen) {
  ServerConfig config;
  config.api_keys = {""};
  EXPECT_FALSE(read_api_keys(config).ok());
  config.api_keys = {"a b"};
  EXPECT_FALSE(read_api_keys(config).ok());
  config.api_keys = {};
  config.api_key_file = write_file("# nothing but this\n");
  EXPECT_FALSE(read_api_keys(config).ok());
  config.api_key_file = "/no/such/file";
  EXPECT_FALSE(read_api_keys(config).ok());
}

}  // namespace
}  // namespace sluice
