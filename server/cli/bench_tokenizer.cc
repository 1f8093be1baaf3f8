// `sluice bench tokenizer`: text to ids on one thread. A file's text, and texts made to hurt.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "base/text.h"
#include "engine/model/json_text.h"
#include "server/cli/command.h"
#include "server/cli/report.h"
#include "server/text/model_text.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Tokenizer";
constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr size_t kHostileBytes = size_t{1} << 20;

struct TokenizerBenchOptions {
  std::string dir;
  std::string text_file;
  int64_t text_bytes = 16 << 20;
  int64_t num_iters = 5;
  std::string json;
};

void add_options(OptionSet& set, TokenizerBenchOptions& options) {
  set.add({.name = "tokenizer",
           .group = kGroup,
           .target = &options.dir,
           .help = "Directory with the tokenizer's files",
           .positional = true,
           .command_line_only = true});
  set.add({.name = "text-file",
           .group = kGroup,
           .target = &options.text_file,
           .help = "A text to encode, over and over; UTF-8",
           .command_line_only = true});
  set.add({.name = "text-bytes",
           .group = kGroup,
           .target = &options.text_bytes,
           .help = "Bytes of it that one repetition encodes, about",
           .min = 1,
           .max = static_cast<double>(kMaxTextBytes),
           .command_line_only = true});
  set.add({.name = "num-iters",
           .group = kGroup,
           .target = &options.num_iters,
           .help = "Timed repetitions",
           .min = 1,
           .max = 10000,
           .command_line_only = true});
  add_json_option(set, kGroup, options.json);
}

std::string repeated(std::string_view unit, size_t bytes) {
  std::string text;
  text.reserve(bytes + unit.size());
  while (text.size() < bytes) text += unit;
  return text;
}

// Encodes `text` `times` times and adds the medians.
void measure(const std::string& what, const std::string& text, int64_t times,
             const Tokenizer& tokenizer, Report& report) {
  std::vector<double> seconds;
  size_t tokens = 0;
  for (int64_t i = 0; i < times; ++i) {
    const Clocks start = Clocks::now();
    tokens = tokenizer.encode(text).size();
    seconds.push_back((Clocks::now() - start).cpu_s);
  }
  const double median = percentile(seconds, 50);
  report.add_row("results", {{"text", what},
                             {"bytes", static_cast<int64_t>(text.size())},
                             {"tokens", static_cast<int64_t>(tokens)},
                             {"cpu_s", median},
                             {"mb_per_cpu_s", rate(static_cast<double>(text.size()), median) / 1e6},
                             {"tokens_per_cpu_s", rate(static_cast<double>(tokens), median)}});
}

Status run(const TokenizerBenchOptions& options, Report& report) {
  const Clocks start = Clocks::now();
  const Result<ModelText> text = load_model_text(options.dir);
  if (!text.ok()) return text.status();
  const Tokenizer& tokenizer = *text->tokenizer;
  add_machine(report);
  report.section("tokenizer") = {{"path", options.dir},
                                 {"vocab_size", int64_t{tokenizer.vocab_size()}},
                                 {"load_cpu_s", (Clocks::now() - start).cpu_s}};
  if (!options.text_file.empty()) {
    const Result<std::string> file = read_text_file(options.text_file, kMaxTextBytes);
    if (!file.ok()) return file.status();
    if (file->empty()) return invalid_argument(options.text_file + " is empty", "text-file");
    const std::string whole =
        repeated(to_valid_utf8(file.value()), static_cast<size_t>(options.text_bytes));
    measure(options.text_file, whole, options.num_iters, tokenizer, report);
  }
  const std::string marks = "\xCC\x81\xCC\xA7\xCC\x88";  // of alternating combining classes
  for (const auto& [what, unit] : {std::pair<const char*, std::string>{"one letter", "a"},
                                   {"spaces", " "},
                                   {"combining marks", marks},
                                   {"digits", "7"},
                                   {"newlines", "\n"},
                                   {"brackets", "<|"}}) {
    measure(what, repeated(unit, kHostileBytes), options.num_iters, tokenizer, report);
  }
  return {};
}

}  // namespace

int run_bench_tokenizer(const Arguments& arguments) {
  OptionSet set("bench tokenizer", "Times a tokenizer on one thread, without a model.");
  TokenizerBenchOptions options;
  add_options(set, options);
  if (const auto status = read_options(set, arguments)) return *status;
  if (options.dir.empty()) {
    return fail(invalid_argument("name a directory with a tokenizer", "tokenizer"));
  }
  Report report;
  if (const Status status = run(options, report); !status.ok()) return fail(status);
  const Status status = report.finish(std::cout, options.json);
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace sluice
