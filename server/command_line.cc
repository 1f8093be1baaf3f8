// Reads the command line. The only file that includes CLI11.
#include <CLI/CLI.hpp>

#include "base/text.h"
#include "server/options.h"

namespace sluice {
namespace {

bool is_flag(const Option& option) { return std::holds_alternative<bool*>(option.target); }

std::string type_name(const Option& option) {
  if (std::holds_alternative<std::string*>(option.target) && option.choices.empty()) return "TEXT";
  return "{" + allowed_text(option) + "}";
}

CLI::Option* declare(CLI::App& app, const Option& option) {
  const std::string flag = "--" + option.name;
  const std::string help = option.help;
  CLI::Option* declared = nullptr;
  if (is_flag(option)) {
    declared = app.add_flag(flag + ",!--no-" + option.name, help);
  } else {
    const std::string names = option.positional ? flag + "," + option.name : flag;
    declared = app.add_option(names, help);
    declared->type_name(type_name(option))->expected(1);
    const bool list = std::holds_alternative<std::vector<std::string>*>(option.target);
    declared->multi_option_policy(list ? CLI::MultiOptionPolicy::TakeAll
                                       : CLI::MultiOptionPolicy::TakeLast);
    if (list) declared->allow_extra_args(false);
  }
  declared->group(option.group)->default_str(value_text(option));
  return declared;
}

// "--max_num_seqs=8" -> "--max-num-seqs=8": only the name changes.
std::string with_canonical_name(const std::string& argument) {
  if (!argument.starts_with("--")) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  return canonical_name(std::string_view(argument).substr(0, end)) + argument.substr(end);
}

Status unknown_argument(const OptionSet& options, const std::string& argument) {
  const std::string command = "sluice " + options.command();
  if (!argument.starts_with("-")) {
    return invalid_argument(str("'", argument, "' is one word too many; see ", command, " --help"));
  }
  const std::string flag = argument.substr(0, argument.find('='));
  std::string name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  const Option* elsewhere = options.find(name);
  if (elsewhere != nullptr) {
    return invalid_argument(str(flag, " is not an option of ", command));
  }
  if (name.starts_with("no-")) name = name.substr(3);
  const std::string near = options.nearest(name);
  return invalid_argument(str(flag, " is not an option of ", command,
                              near.empty() ? "" : "; did you mean --", near,
                              near.empty() ? "" : "?"));
}

}  // namespace

Result<CommandLine> read_command_line(const OptionSet& options,
                                      const std::vector<std::string>& arguments) {
  CLI::App app(options.description(), "sluice " + options.command());
  app.allow_extras();
  app.get_formatter()->column_width(42);
  std::vector<std::pair<const Option*, CLI::Option*>> declared;
  for (const Option& option : options.options()) {
    if (option.on_command_line) declared.emplace_back(&option, declare(app, option));
  }

  std::vector<std::string> reversed;  // CLI11 takes its arguments from the back
  for (const std::string& argument : arguments) reversed.push_back(with_canonical_name(argument));
  std::reverse(reversed.begin(), reversed.end());
  CommandLine line;
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    line.help = app.help();
    return line;
  } catch (const CLI::ParseError& error) {
    return invalid_argument(error.what());
  }
  if (const auto extras = app.remaining(); !extras.empty()) {
    return unknown_argument(options, extras.front());
  }
  for (const auto& [option, given] : declared) {
    if (given->count() == 0) continue;
    std::vector<std::string> values = given->results();
    const bool list = std::holds_alternative<std::vector<std::string>*>(option->target);
    if (!list) values = {values.back()};
    line.assignments.push_back({option->name, std::move(values), "--" + option->name});
  }
  return line;
}

}  // namespace sluice
