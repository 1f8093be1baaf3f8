// The entry: finds the command that the first words name and runs it.
#include <iostream>
#include <vector>

#include "server/cli/commands.h"
#include "server/version.h"

namespace sluice {
namespace {

struct Command {
  const char* name;  // one or two words
  const char* help;
  int (*run)(const Arguments& arguments);
};

std::vector<Command> commands() { return {}; }

int print_help(std::ostream& out, int status) {
  out << "Sluice: an inference server for language models.\n\nsluice COMMAND --help says more.\n\n";
  for (const Command& command : commands()) out << command.name << command.help;
  return status;
}

int run(const Arguments& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    return print_help(words.empty() ? std::cerr : std::cout, words.empty() ? kExitUsage : kExitOk);
  }
  if (words[0] == "--version") {
    std::cout << "sluice " << version() << " (" << version_commit() << ")\n";
    return kExitOk;
  }
  std::cerr << "sluice: '" << words[0] << "' is not a command\n\n";
  return print_help(std::cerr, kExitUsage);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::run(sluice::Arguments(argv + 1, argv + argc)); }
