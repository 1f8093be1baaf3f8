// The table of options: sources and their order, bounds, near names, and configs/server.yaml.
#include "server/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace sluice {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() { add_server_options(options_, config_); }

  Result<OptionSet::Outcome> read(const std::vector<std::string>& arguments) {
    const auto environment = [this](const std::string& name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    };
    return options_.read(arguments, environment, out_);
  }
  // The message of a read that must fail.
  std::string failure(const std::vector<std::string>& arguments) {
    const auto outcome = read(arguments);
    return outcome.ok() ? "no failure" : outcome.status().message();
  }
  std::string write_file(const std::string& text) {
    const std::string path = ::testing::TempDir() + "sluice_config_test.yaml";
    std::ofstream(path) << text;
    return path;
  }

  ServerConfig config_;
  OptionSet options_{"serve", "Serves a model."};
  std::map<std::string, std::string> environment_;
  std::ostringstream out_;
};

TEST_F(ConfigTest, CommandLineWinsOverEnvironmentOverFileOverDefault) {
  const std::string file = write_file("port: 1\nmax_num_seqs: 1\nthreads: 1\n");
  environment_ = {{"SLUICE_CONFIG", file}, {"SLUICE_PORT", "2"}, {"SLUICE_MAX_NUM_SEQS", "2"}};
  ASSERT_TRUE(read({"--port", "3"}).ok());
  EXPECT_EQ(config_.port, 3);
  EXPECT_EQ(config_.max_num_seqs, 2);
  EXPECT_EQ(config_.threads, 1);
  EXPECT_EQ(config_.host, "127.0.0.1");
  EXPECT_EQ(options_.find("port")->source, OptionSource::kCommandLine);
  EXPECT_EQ(options_.find("max-num-seqs")->source, OptionSource::kEnvironment);
  EXPECT_EQ(options_.find("threads")->source, OptionSource::kFile);
  EXPECT_EQ(options_.find("host")->source, OptionSource::kDefault);
}

TEST_F(ConfigTest, SecretsAreNeverPrinted) {
  ASSERT_TRUE(read({"--api-key", "sk-1", "--api-key=sk-2", "--print-config"}).ok());
  EXPECT_EQ(config_.api_keys, (std::vector<std::string>{"sk-1", "sk-2"}));
  EXPECT_NE(out_.str().find("api-key: (not shown)"), std::string::npos);
  EXPECT_EQ(out_.str().find("sk-"), std::string::npos);
}

TEST_F(ConfigTest, FlagNamesTakeDashesAndUnderscores) {
  ASSERT_TRUE(read({"some_dir", "--max_num_seqs=7", "--served_model_name", "a_b",
                    "--served-model-name=c", "--no_enable_prefix_caching"})
                  .ok());
  EXPECT_EQ(config_.model, "some_dir");
  EXPECT_EQ(config_.max_num_seqs, 7);
  EXPECT_EQ(config_.served_model_names, (std::vector<std::string>{"a_b", "c"}));
  EXPECT_FALSE(config_.enable_prefix_caching);
}

TEST_F(ConfigTest, SwitchesTakeAValueToo) {
  ASSERT_TRUE(read({"--enable-prefix-caching=false", "--batch-invariant"}).ok());
  EXPECT_FALSE(config_.enable_prefix_caching);
  EXPECT_TRUE(config_.batch_invariant);
  EXPECT_EQ(failure({"--batch-invariant=maybe"}),
            "--batch-invariant is 'maybe'; allowed: true, false");
}

TEST_F(ConfigTest, ContradictionsAreErrors) {
  EXPECT_NE(failure({"--enable-prefix-caching", "--no-enable-prefix-caching"}), "no failure");
  EXPECT_NE(failure({"dir", "--model", "other"}), "no failure");
}

TEST_F(ConfigTest, LastOfARepeatedFlagCounts) {
  ASSERT_TRUE(read({"--port", "1", "--port", "2"}).ok());
  EXPECT_EQ(config_.port, 2);
}

TEST_F(ConfigTest, BytesHaveUnits) {
  const std::pair<const char*, int64_t> kCases[] = {
      {"1073741824", 1LL << 30}, {"1GiB", 1LL << 30},  {"1.5G", 3LL << 29}, {"512MiB", 1LL << 29},
      {"2GB", 2000000000},       {"64KiB", 64 * 1024}, {"auto", 0},
  };
  for (const auto& [text, bytes] : kCases) {
    ASSERT_TRUE(read({"--kv-cache-memory-bytes", text}).ok()) << text;
    EXPECT_EQ(config_.kv_cache_memory.value, bytes) << text;
  }
  for (const char* text : {"", "GiB", "-1", "1 GiB", "1XiB", "nan", "1e300", "inf"}) {
    EXPECT_FALSE(read({std::string("--kv-cache-memory-bytes=") + text}).ok()) << text;
  }
}

TEST_F(ConfigTest, OutOfBoundsNamesPlaceValueAndRange) {
  EXPECT_EQ(failure({"--port", "70000"}), "--port is '70000'; allowed: 0 ... 65535");
  EXPECT_EQ(failure({"--dtype", "int3"}), "--dtype is 'int3'; allowed: auto, bfloat16, float32");
  EXPECT_EQ(failure({"--threads", "2x"}), "--threads is '2x'; allowed: auto, or 1 ... 1024");
  EXPECT_EQ(failure({"--decode-gap-ms", "nan"}),
            "--decode-gap-ms is 'nan'; allowed: 1 ... 60000 (may be a fraction)");
  environment_["SLUICE_PORT"] = "tcp://10.0.0.1:80";
  EXPECT_EQ(failure({}), "SLUICE_PORT is 'tcp://10.0.0.1:80'; allowed: 0 ... 65535");
}

TEST_F(ConfigTest, UnknownNamesAreErrorsThatNameTheNearest) {
  EXPECT_EQ(failure({"--max-num-seq", "8"}),
            "--max-num-seq is not an option of sluice serve; did you mean --max-num-seqs?");
  EXPECT_EQ(failure({"--no-enable-prefix-cachin"}),
            "--no-enable-prefix-cachin is not an option of sluice serve; did you mean "
            "--enable-prefix-caching?");
  EXPECT_EQ(failure({"--zzzzzzzzzzzzzzz"}), "--zzzzzzzzzzzzzzz is not an option of sluice serve");
  EXPECT_EQ(failure({"a", "b"}), "'b' is one word too many; see sluice serve --help");
  const std::string file = write_file("\nmax-num-sequences: 3\n");
  EXPECT_EQ(failure({"--config", file}),
            file + ":2: max-num-sequences is not an option; did you mean max-num-seqs?");
}

TEST_F(ConfigTest, BrokenFilesAreErrorsWithTheirLine) {
  const std::pair<const char*, const char*> kCases[] = {
      {"port: [", ":1: "},
      {"- port\n", ": must be a map of options"},
      {"\nport:\n", ":2: port: has no value; leave the key out for the default"},
      {"port: 1\nport: 2\n", ":2: port stands twice in this file"},
      {"port: {a: 1}\n", ":1: port: has no value; leave the key out for the default"},
      {"port: [1, 2]\n", ":1: port is '1, 2'; allowed: 0 ... 65535"},
      {"config: other.yaml\n", ":1: config may stand on the command line only"},
  };
  for (const auto& [text, message] : kCases) {
    const std::string file = write_file(text);
    const std::string said = failure({"--config", file});
    EXPECT_EQ(said.substr(0, file.size() + std::string(message).size()), file + message) << text;
  }
  EXPECT_EQ(failure({"--config", "/nonexistent.yaml"}), "/nonexistent.yaml: cannot be read");
  EXPECT_EQ(failure({"--config", "/"}), "/: cannot be read");
}

TEST_F(ConfigTest, HiddenGroupsAreNoFlagsButStayInFiles) {
  options_.hide_group(kHttpGroup);
  EXPECT_EQ(failure({"--port", "1"}), "--port is not an option of sluice serve");
  ASSERT_TRUE(read({"--config", write_file("port: 1\n")}).ok());
}

TEST_F(ConfigTest, PrintedConfigurationReadsBackAsItself) {
  const auto outcome =
      read({"dir", "--port=5", "--kv-cache-memory-bytes=3GiB", "--served-model-name=x",
            "--no-enable-prefix-caching", "--print-config"});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome.value(), OptionSet::Outcome::kDone);
  EXPECT_NE(out_.str().find("# command line"), std::string::npos);

  ServerConfig copy;
  OptionSet again("serve", "");
  add_server_options(again, copy);
  std::ostringstream ignored;
  const auto nothing = [](const std::string&) -> const char* { return nullptr; };
  ASSERT_TRUE(again.read({"--config", write_file(out_.str())}, nothing, ignored).ok());
  for (const Option& option : options_.options()) {
    if (!option.command_line_only) {
      EXPECT_EQ(value_text(option), value_text(*again.find(option.name))) << option.name;
    }
  }
}

TEST_F(ConfigTest, HelpShowsEveryFlagUnderItsGroup) {
  const auto outcome = read({"--help"});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome.value(), OptionSet::Outcome::kDone);
  for (const Option& option : options_.options()) {
    EXPECT_NE(out_.str().find("--" + option.name), std::string::npos) << option.name;
    EXPECT_NE(out_.str().find(option.group + ":"), std::string::npos) << option.group;
  }
}

// configs/server.yaml is the operator's reference: every key, its default, and its bounds.
TEST_F(ConfigTest, CommentedFileAgreesWithTheTable) {
  const std::string path = std::string(SLUICE_SOURCE_DIR) + "/configs/server.yaml";
  const auto entries = read_config_file(path);
  ASSERT_TRUE(entries.ok()) << entries.status().message();
  std::map<std::string, std::string> before;
  for (const Option& option : options_.options()) before[option.name] = value_text(option);
  ASSERT_TRUE(read({"--config", path}).ok());

  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  for (const Option& option : options_.options()) {
    if (option.command_line_only) continue;
    EXPECT_EQ(option.source, OptionSource::kFile) << option.name << " is missing";
    EXPECT_EQ(value_text(option), before[option.name]) << option.name;
    std::string bounds = allowed_text(option);
    bounds = bounds.substr(0, bounds.find(" (may"));
    if (bounds != "text" && bounds != "list of texts") {
      EXPECT_NE(text.find("# " + bounds), std::string::npos) << option.name << ": " << bounds;
    }
  }
}

TEST_F(ConfigTest, TheCacheDirectoryIsWhereOtherProgramsKeepTheirs) {
  const auto with = [](const std::map<std::string, std::string>& set) {
    return default_cache_dir([&](const std::string& name) -> const char* {
      const auto found = set.find(name);
      return found == set.end() ? nullptr : found->second.c_str();
    });
  };
  EXPECT_EQ(with({{"XDG_CACHE_HOME", "/cache"}, {"HOME", "/home/me"}}), "/cache/sluice");
  EXPECT_EQ(with({{"XDG_CACHE_HOME", ""}, {"HOME", "/home/me"}}), "/home/me/.cache/sluice");
  EXPECT_EQ(with({}), "");
}

}  // namespace
}  // namespace sluice
