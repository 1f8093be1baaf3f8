// The entry: finds the command that the first words name and runs it.
#include <algorithm>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string_view>

#include "base/text.h"
#include "server/cli/commands.h"
#include "server/version.h"

namespace sluice {
namespace {

struct Command {
  std::string_view group;  // first word
  std::string_view name;   // second word; empty if there is none
  std::string_view help;
  int (*run)(const Arguments& arguments);
};

constexpr Command kCommands[] = {
    {"serve", "", "serve a model over OpenAI's API and gRPC", run_serve},
    {"healthcheck", "", "say whether the server here is ready", run_healthcheck},
    {"client", "", "ask a running server over gRPC", run_client},
    {"generate", "", "write one answer, no server", run_generate},
    {"bench", "kernels", "time every op beside the device's ceilings", run_bench_kernels},
    {"bench", "latency", "time one batch: prompt, then decode", run_bench_latency},
    {"bench", "throughput", "time many requests, no server", run_bench_throughput},
    {"bench", "tokenizer", "time a tokenizer, no model", run_bench_tokenizer},
    {"bench", "serve", "load a running server over HTTP", run_bench_serve},
    {"bench", "frontend", "time HTTP and gRPC streams, no model", run_bench_frontend},
    {"eval", "golden", "compare with a reference's answers", run_eval_golden},
    {"eval", "retrieval", "count right answers about long texts", run_eval_retrieval},
    {"eval", "perplexity", "score a text", run_eval_perplexity},
};

void print_help(std::ostream& out) {
  out << "Sluice, an inference server for language models.\n\n"
         "  sluice serve [MODEL_DIR]     then ask it at http://127.0.0.1:8000/v1\n"
         "  sluice COMMAND --help        all options of a command\n"
         "  sluice --version\n\nCommands:\n";
  for (const Command& command : kCommands) {
    const std::string name = str(command.group, " ", command.name);
    out << "  " << std::left << std::setw(18) << name << " " << command.help << "\n";
  }
}

bool asks_for_help(const std::string& word) {
  return word == "--help" || word == "-h" || word == "help";
}

int unknown_command(const Arguments& words) {
  const bool group = std::any_of(std::begin(kCommands), std::end(kCommands),
                                 [&](const Command& command) { return command.group == words[0]; });
  if (group && words.size() > 1 && asks_for_help(words[1])) {
    print_help(std::cout);
    return kExitOk;
  }
  const std::string given = group && words.size() > 1 ? words[0] + " " + words[1] : words[0];
  std::cerr << "sluice: '" << given << "' is "
            << (group && words.size() == 1 ? "half a command" : "not a command") << "\n\n";
  print_help(std::cerr);
  return kExitUsage;
}

int run(const Arguments& words) {
  if (words.empty()) {
    print_help(std::cerr);
    return kExitUsage;
  }
  if (asks_for_help(words[0])) {
    print_help(std::cout);
    return kExitOk;
  }
  if (words[0] == "--version") {
    std::cout << "sluice " << version() << " (" << version_commit() << ")\n";
    return kExitOk;
  }
  for (const Command& command : kCommands) {
    const size_t length = command.name.empty() ? 1 : 2;
    if (words.size() < length || words[0] != command.group) continue;
    if (length == 2 && words[1] != command.name) continue;
    return command.run(Arguments(words.begin() + static_cast<ptrdiff_t>(length), words.end()));
  }
  return unknown_command(words);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::run(sluice::Arguments(argv + 1, argv + argc)); }
