// Every file of the corpus once, so that what a fuzzer found stays fixed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "model_files.h"

namespace sluice {
namespace {

TEST(FuzzCorpus, ModelFilesReplayWithoutACrash) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) +
                                                              "/tests/fuzz/corpus/model_files")) {
    SCOPED_TRACE(file.path());
    std::ifstream in(file.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(in)), {});
    read_model_file(std::as_bytes(std::span(content)));
    ++count;
  }
  EXPECT_GT(count, 10);
}

}  // namespace
}  // namespace sluice
