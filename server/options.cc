// Names, values and bounds of options, and the order of their sources.
#include "server/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <numeric>
#include <type_traits>

#include "base/text.h"

namespace sluice {
namespace {

const char* name_of(OptionSource source) {
  switch (source) {
    case OptionSource::kDefault:
      return "default";
    case OptionSource::kFile:
      return "config file";
    case OptionSource::kEnvironment:
      return "environment";
    case OptionSource::kCommandLine:
      return "command line";
  }
  return "";
}

std::string number_text(double value) {
  if (value == std::floor(value) && std::abs(value) < 0x1p62) {
    return str(static_cast<int64_t>(value));
  }
  std::ostringstream out;
  out << std::setprecision(15) << value;
  return out.str();
}

std::string bytes_text(int64_t bytes) {
  static constexpr std::pair<const char*, int64_t> kUnits[] = {
      {"TiB", 1LL << 40}, {"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}};
  for (const auto& [unit, size] : kUnits) {
    if (bytes != 0 && bytes % size == 0) return str(bytes / size, unit);
  }
  return str(bytes);
}

template <typename T>
bool parse_whole(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): `end` bounds it
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

bool parse_bytes(std::string_view text, int64_t& value) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"K", 0x1p10},
      {"M", 0x1p20},   {"G", 0x1p30},   {"T", 0x1p40},   {"kB", 1e3},     {"KB", 1e3},
      {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},    {"B", 1}};
  double scale = 1;
  for (const auto& [unit, size] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    scale = size;
    break;
  }
  double number = 0;
  if (!parse_whole(text, number) || !std::isfinite(number)) return false;
  const double bytes = number * scale;
  if (std::abs(bytes) >= 0x1p62) return false;
  value = static_cast<int64_t>(bytes);
  return true;
}

bool parse_bool(std::string_view text, bool& value) {
  value = text == "true";
  return value || text == "false";
}

bool is_auto(const Option& option, std::string_view text) {
  return option.zero_is_auto && text == "auto";
}

// Writes `text` into the target; false if it is no such value or out of bounds.
bool assign(const Option& option, const std::string& text) {
  const auto in_bounds = [&](double value) {
    return (value >= option.min && value <= option.max) || (option.zero_is_auto && value == 0);
  };
  return std::visit(
      [&](auto* target) {
        using T = std::remove_pointer_t<decltype(target)>;
        T value{};
        if constexpr (std::is_same_v<T, std::string>) {
          value = text;
          const auto& choices = option.choices;
          if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end())
            return false;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          SLUICE_CHECK(false);  // lists are set as a whole
        } else if constexpr (std::is_same_v<T, bool>) {
          if (!parse_bool(text, value)) return false;
        } else if constexpr (std::is_same_v<T, ByteCount>) {
          if (!is_auto(option, text) && !parse_bytes(text, value.value)) return false;
          if (!in_bounds(static_cast<double>(value.value))) return false;
        } else {
          if (!is_auto(option, text) && !parse_whole(text, value)) return false;
          if (!in_bounds(static_cast<double>(value))) return false;
        }
        *target = std::move(value);
        return true;
      },
      option.target);
}

// Levenshtein's distance; both words are short.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string canonical_name(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string environment_name(std::string_view name) {
  std::string out = "SLUICE_";
  for (const char c : name) {
    out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return out;
}

std::string value_text(const Option& option) {
  const std::string text = std::visit(
      [&](const auto* target) -> std::string {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
        if constexpr (std::is_same_v<T, std::string>) {
          return target->empty() ? "\"\"" : *target;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          std::string out;
          for (const std::string& item : *target) out += (out.empty() ? "" : ", ") + item;
          return "[" + out + "]";
        } else if constexpr (std::is_same_v<T, bool>) {
          return *target ? "true" : "false";
        } else if constexpr (std::is_same_v<T, ByteCount>) {
          return option.zero_is_auto && target->value == 0 ? "auto" : bytes_text(target->value);
        } else {
          return option.zero_is_auto && *target == 0 ? "auto"
                                                     : number_text(static_cast<double>(*target));
        }
      },
      option.target);
  const bool empty = text == "[]" || text == "\"\"";
  return option.secret && !empty ? "(not shown)" : text;
}

std::string allowed_text(const Option& option) {
  const auto range = [&](const auto& text_of) {
    std::string out = option.zero_is_auto ? "auto, or " : "";
    if (std::isinf(option.max)) return out + text_of(option.min) + " or more";
    return out + text_of(option.min) + " ... " + text_of(option.max);
  };
  return std::visit(
      [&](const auto* target) -> std::string {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
        if constexpr (std::is_same_v<T, std::string>) {
          std::string out;
          for (const std::string& choice : option.choices) {
            out += (out.empty() ? "" : ", ") + choice;
          }
          return out.empty() ? "text" : out;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return "list of texts";
        } else if constexpr (std::is_same_v<T, bool>) {
          return "true, false";
        } else if constexpr (std::is_same_v<T, ByteCount>) {
          return range([](double x) { return bytes_text(static_cast<int64_t>(x)); });
        } else {
          return range(number_text) + (std::is_same_v<T, int64_t> ? "" : " (may be a fraction)");
        }
      },
      option.target);
}

OptionSet::OptionSet(std::string command, std::string description)
    : command_(std::move(command)), description_(std::move(description)) {
  add({.name = "config",
       .group = "General",
       .target = &config_file_,
       .help = "YAML file of options; see configs/server.yaml",
       .command_line_only = true});
  add({.name = "print-config",
       .group = "General",
       .target = &print_config_,
       .help = "Print the options with the source of each, and exit",
       .command_line_only = true});
}

void OptionSet::add(Option option) {
  SLUICE_CHECK(find(option.name) == nullptr);
  options_.push_back(std::move(option));
}

void OptionSet::hide_group(std::string_view group) {
  for (Option& option : options_) {
    if (option.group == group) option.on_command_line = false;
  }
}

const Option* OptionSet::find(std::string_view name) const {
  for (const Option& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

std::string OptionSet::nearest(std::string_view name) const {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 2) + 1;
  for (const Option& option : options_) {
    const size_t distance = edit_distance(name, option.name);
    if (distance >= best_distance) continue;
    best = option.name;
    best_distance = distance;
  }
  return best;
}

Status OptionSet::apply(const Assignment& assignment, OptionSource source) {
  const auto option = std::find_if(options_.begin(), options_.end(), [&](const Option& candidate) {
    return candidate.name == assignment.name;
  });
  if (option == options_.end()) {
    const std::string near = nearest(assignment.name);
    return invalid_argument(
        str(assignment.where, " is not an option", near.empty() ? "" : "; did you mean ", near,
            near.empty() ? "" : "?"),
        assignment.name);
  }
  if (option->command_line_only && source != OptionSource::kCommandLine) {
    return invalid_argument(assignment.where + " may stand on the command line only",
                            assignment.name);
  }
  if (auto* list = std::get_if<std::vector<std::string>*>(&option->target)) {
    **list = assignment.values;
  } else if (assignment.values.size() != 1 || !assign(*option, assignment.values.front())) {
    std::string given;
    for (const std::string& value : assignment.values) given += (given.empty() ? "" : ", ") + value;
    return invalid_argument(
        str(assignment.where, " is '", given, "'; allowed: ", allowed_text(*option)),
        assignment.name);
  }
  option->source = source;
  return {};
}

Status OptionSet::apply_environment(const Environment& environment) {
  for (const Option& option : options_) {
    if (option.command_line_only) continue;
    const std::string variable = environment_name(option.name);
    const char* value = environment(variable);
    if (value == nullptr) continue;
    SLUICE_RETURN_IF_ERROR(apply({option.name, {value}, variable}, OptionSource::kEnvironment));
  }
  return {};
}

Result<OptionSet::Outcome> OptionSet::read(const std::vector<std::string>& arguments,
                                           const Environment& environment, std::ostream& out) {
  Result<CommandLine> line = read_command_line(*this, arguments);
  if (!line.ok()) return line.status();
  if (!line->help.empty()) {
    out << line->help;
    return Outcome::kDone;
  }
  const char* file = environment("SLUICE_CONFIG");
  config_file_ = file == nullptr ? "" : file;
  for (const Assignment& assignment : line->assignments) {
    if (assignment.name == "config") config_file_ = assignment.values.back();
  }
  if (!config_file_.empty()) {
    Result<std::vector<Assignment>> entries = read_config_file(config_file_);
    if (!entries.ok()) return entries.status();
    for (const Assignment& entry : entries.value()) {
      SLUICE_RETURN_IF_ERROR(apply(entry, OptionSource::kFile));
    }
  }
  SLUICE_RETURN_IF_ERROR(apply_environment(environment));
  for (const Assignment& assignment : line->assignments) {
    SLUICE_RETURN_IF_ERROR(apply(assignment, OptionSource::kCommandLine));
  }
  if (!print_config_) return Outcome::kRun;
  print(out);
  return Outcome::kDone;
}

void OptionSet::print(std::ostream& out) const {
  size_t width = 0;
  const auto entry = [](const Option& option) { return option.name + ": " + value_text(option); };
  for (const Option& option : options_) width = std::max(width, entry(option).size());
  for (const Option& option : options_) {
    if (option.command_line_only || !option.on_command_line) continue;
    out << std::left << std::setw(static_cast<int>(width)) << entry(option) << "  # "
        << name_of(option.source) << "\n";
  }
}

}  // namespace sluice
