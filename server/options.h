// Options: one table that the command line, the environment and a YAML file all read.
//
//   --max-num-seqs 8   >   SLUICE_MAX_NUM_SEQS=8   >   max-num-seqs: 8 in --config   >   default
//
// An option writes straight into the variable that it is bound to. Start-up only, one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace sluice {

// Bytes, spelled "1073741824", "1GiB", "512M" (powers of 1024) or "1GB" (powers of 1000).
struct ByteCount {
  int64_t value = 0;
};

enum class OptionSource : uint8_t { kDefault, kFile, kEnvironment, kCommandLine };

struct Option {
  using Target =
      std::variant<std::string*, int64_t*, ByteCount*, double*, bool*, std::vector<std::string>*>;

  std::string name;   // "max-num-seqs": also SLUICE_MAX_NUM_SEQS and the YAML key max-num-seqs
  std::string group;  // heading in --help
  Target target;      // borrowed; holds the default
  std::string help;   // one line, without a full stop
  // Bounds of a number, both included; choices of a text (empty: any text).
  double min = 0;
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};
  bool zero_is_auto = false;    // "auto" is written for 0, which then is allowed besides the bounds
  bool positional = false;      // also the word without a flag
  bool on_command_line = true;  // false: read from file and environment only
  bool secret = false;          // its value is never printed
  bool command_line_only = false;  // true: --config and its like
  OptionSource source = OptionSource::kDefault;
};

// What was written for one option, before it is understood.
struct Assignment {
  std::string name;
  std::vector<std::string> values;
  std::string where;  // "--port", "SLUICE_PORT", "server.yaml:12: port"
};

class OptionSet {
 public:
  // Names the command in messages and --help: "serve", "bench latency".
  OptionSet(std::string command, std::string description);
  OptionSet(const OptionSet&) = delete;  // options point into it
  OptionSet& operator=(const OptionSet&) = delete;

  void add(Option option);
  // Options of this group are not flags of this command; file and environment may still hold them.
  void hide_group(std::string_view group);

  using Environment = std::function<const char*(const std::string&)>;
  // Reads `arguments` (without program and command), the environment and the file that --config
  // names. kRun: every option is set and within its bounds. kDone: --help or --print-config has
  // been answered on `out`. Every failure names the place, the value and what is allowed.
  enum class Outcome : uint8_t { kRun, kDone };
  Result<Outcome> read(const std::vector<std::string>& arguments, const Environment& environment,
                       std::ostream& out);

  // The configuration as a YAML file, each line with the source of its value.
  void print(std::ostream& out) const;

  const std::deque<Option>& options() const { return options_; }
  const std::string& command() const { return command_; }
  const std::string& description() const { return description_; }
  const Option* find(std::string_view name) const;
  // The known name nearest to `name`, for "did you mean"; empty if none is near.
  std::string nearest(std::string_view name) const;

 private:
  Status apply(const Assignment& assignment, OptionSource source);
  Status apply_environment(const Environment& environment);

  std::string command_;
  std::string description_;
  std::deque<Option> options_;
  std::string config_file_;
  bool print_config_ = false;
};

// "max_num_seqs" -> "max-num-seqs"; "max-num-seqs" -> "SLUICE_MAX_NUM_SEQS".
std::string canonical_name(std::string_view name);
std::string environment_name(std::string_view name);
// The value as it would be written in the file; and what is allowed, as "1 ... 65535".
std::string value_text(const Option& option);
std::string allowed_text(const Option& option);

// The flags in `arguments`. `help` is set, and nothing else looked at, if --help is among them.
struct CommandLine {
  std::vector<Assignment> assignments;
  std::string help;
};
Result<CommandLine> read_command_line(const OptionSet& options,
                                      const std::vector<std::string>& arguments);

// The keys of a YAML file: one flat map of scalars and lists of scalars, at most 1 MiB.
Result<std::vector<Assignment>> read_config_file(const std::string& path);

}  // namespace sluice
