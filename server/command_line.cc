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

// What was declared of one option: its flag; and the way to switch it off, or its word without a
// flag, where it has one.
struct Declared {
  const Option* option;
  CLI::Option* flag;
  CLI::Option* other;
};

Declared declare_switch(CLI::App& app, const Option& option) {
  const std::string negative = "--no-" + option.name;
  const bool on = *std::get<bool*>(option.target);
  const std::string help = option.help + (on ? " (default; else " + negative + ")" : "");
  CLI::Option* flag = app.add_flag("--" + option.name, help)->group(option.group);
  if (option.command_line_only) return {&option, flag, nullptr};
  CLI::Option* off = app.add_flag(negative)->group("");  // not in --help
  return {&option, flag, off->excludes(flag)->disable_flag_override()};
}

Declared declare(CLI::App& app, const Option& option) {
  if (is_flag(option)) return declare_switch(app, option);
  const std::string help = option.help;
  CLI::Option* flag = app.add_option("--" + option.name, help)->group(option.group);
  flag->type_name(type_name(option))->default_str(value_text(option))->expected(1);
  const bool list = std::holds_alternative<std::vector<std::string>*>(option.target);
  flag->multi_option_policy(list ? CLI::MultiOptionPolicy::TakeAll
                                 : CLI::MultiOptionPolicy::TakeLast);
  if (list) flag->allow_extra_args(false);
  if (!option.positional) return {&option, flag, nullptr};
  const std::string word_help = "The same as --" + option.name;
  CLI::Option* word = app.add_option(option.name, word_help)->type_name("")->excludes(flag);
  return {&option, flag, word};
}

// What was given for it; no values: nothing.
std::vector<std::string> values_of(const Declared& declared) {
  const bool flag = declared.flag->count() > 0;
  const bool other = declared.other != nullptr && declared.other->count() > 0;
  if (is_flag(*declared.option)) {
    if (!flag && !other) return {};
    return {flag ? declared.flag->results().back() : "false"};
  }
  if (other) return declared.other->results();
  if (!flag) return {};
  const std::vector<std::string> values = declared.flag->results();
  const bool list = std::holds_alternative<std::vector<std::string>*>(declared.option->target);
  return list ? values : std::vector<std::string>{values.back()};
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
  std::vector<Declared> declared;
  for (const Option& option : options.options()) {
    if (option.on_command_line) declared.push_back(declare(app, option));
  }

  std::vector<std::string> reversed;  // CLI11 takes its arguments from the back
  reversed.reserve(arguments.size());
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
  for (const Declared& one : declared) {
    std::vector<std::string> values = values_of(one);
    if (values.empty()) continue;
    line.assignments.push_back({one.option->name, std::move(values), "--" + one.option->name});
  }
  return line;
}

}  // namespace sluice
