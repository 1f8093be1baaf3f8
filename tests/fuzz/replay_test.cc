// Every file of the corpus once, so that what a fuzzer found stays fixed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "http_bodies.h"
#include "model_files.h"
#include "text_inputs.h"

namespace sluice {
namespace {

void replay(const std::string& corpus, void (*read)(std::span<const std::byte>)) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) +
                                                              "/tests/fuzz/corpus/" + corpus)) {
    SCOPED_TRACE(file.path());
    std::ifstream in(file.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(in)), {});
    read(std::as_bytes(std::span(content)));
    ++count;
  }
  EXPECT_GT(count, 10);
}

TEST(FuzzCorpus, HttpBodiesReplayWithoutACrash) { replay("http", read_http_body); }
TEST(FuzzCorpus, ModelFilesReplayWithoutACrash) { replay("model_files", read_model_file); }
TEST(FuzzCorpus, TextReplaysWithoutACrash) { replay("text", read_text_input); }

}  // namespace
}  // namespace sluice
