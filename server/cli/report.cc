// Tables, JSON and clocks of the benches.
#include "server/cli/report.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/text.h"
#include "server/version.h"

namespace sluice {
namespace {

std::string text_of(const ReportValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (const auto* whole = std::get_if<int64_t>(&value)) return str(*whole);
  const double number = std::get<double>(value);
  std::ostringstream out;
  const double size = std::abs(number);
  out << std::fixed
      << std::setprecision(size >= 1000 ? 0
                           : size >= 10 ? 1
                           : size >= 1  ? 2
                                        : 4)
      << number;
  return out.str();
}

nlohmann::ordered_json json_of(const ReportRow& row) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : row) {
    std::visit([&, &key = name](const auto& plain) { out[key] = plain; }, value);
  }
  return out;
}

void print_row(std::ostream& out, const ReportRow& row) {
  size_t width = 0;
  for (const auto& [name, value] : row) width = std::max(width, name.size());
  for (const auto& [name, value] : row) {
    out << "  " << std::left << std::setw(static_cast<int>(width)) << name << "  " << text_of(value)
        << "\n";
  }
}

void print_table(std::ostream& out, const std::deque<ReportRow>& rows) {
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& [name, value] : rows.front()) cells[0].push_back(name);
  for (const ReportRow& row : rows) {
    SLUICE_CHECK_EQ(row.size(), cells[0].size());
    std::vector<std::string>& line = cells.emplace_back();
    for (const auto& [name, value] : row) line.push_back(text_of(value));
  }
  for (const std::vector<std::string>& line : cells) {
    for (size_t column = 0; column < line.size(); ++column) {
      size_t width = 0;
      for (const auto& other : cells) width = std::max(width, other[column].size());
      out << "  " << std::setw(static_cast<int>(width)) << (column == 0 ? std::left : std::right)
          << line[column];
    }
    out << "\n";
  }
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

Report::Section& Report::find_or_add(const std::string& name, bool is_list) {
  for (Section& section : sections_) {
    if (section.name != name) continue;
    SLUICE_CHECK(section.is_list == is_list);
    return section;
  }
  sections_.push_back({name, is_list, {}});
  return sections_.back();
}

ReportRow& Report::section(const std::string& name) {
  Section& found = find_or_add(name, false);
  if (found.rows.empty()) found.rows.emplace_back();
  return found.rows.front();
}

void Report::add_row(const std::string& name, ReportRow row) {
  find_or_add(name, true).rows.push_back(std::move(row));
}

void Report::print(std::ostream& out) const {
  for (const Section& section : sections_) {
    out << section.name << "\n";
    if (section.is_list) {
      print_table(out, section.rows);
    } else {
      print_row(out, section.rows.front());
    }
  }
}

std::string Report::json() const {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Section& section : sections_) {
    if (!section.is_list) {
      out[section.name] = json_of(section.rows.front());
      continue;
    }
    out[section.name] = nlohmann::ordered_json::array();
    for (const ReportRow& row : section.rows) out[section.name].push_back(json_of(row));
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Status Report::finish(std::ostream& out, const std::string& json_path) const {
  print(out);
  if (json_path.empty()) return {};
  std::ofstream file(json_path);
  file << json();
  file.close();
  if (!file) return invalid_argument(str("cannot write ", json_path), "json");
  return {};
}

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = std::clamp(p, 0.0, 100.0) / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

double mean(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void add_summary(ReportRow& row, const std::string& name, const std::vector<double>& values) {
  row.emplace_back(name + "_mean", mean(values));
  row.emplace_back(name + "_p50", percentile(values, 50));
  row.emplace_back(name + "_p90", percentile(values, 90));
  row.emplace_back(name + "_p99", percentile(values, 99));
  row.emplace_back(name + "_max", percentile(values, 100));
}

Clocks Clocks::now() {
  rusage usage{};
  SLUICE_CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(wall).count(),
          seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

ProcessUsage ProcessUsage::of(int64_t pid) {
  std::ifstream file(str("/proc/", pid, "/stat"));
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');  // the name may hold spaces and parentheses
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  std::vector<std::string> values;
  for (std::string value; fields >> value;) values.push_back(value);
  constexpr size_t kUserTicks = 11, kSystemTicks = 12, kResidentPages = 21;  // after the name
  if (values.size() <= kResidentPages) return {};
  const double ticks = std::strtod(values[kUserTicks].c_str(), nullptr) +
                       std::strtod(values[kSystemTicks].c_str(), nullptr);
  return {ticks / static_cast<double>(sysconf(_SC_CLK_TCK)),
          std::strtoll(values[kResidentPages].c_str(), nullptr, 10) * sysconf(_SC_PAGESIZE)};
}

void add_machine(Report& report) {
  ReportRow& row = report.section("machine");
  row.emplace_back("version", std::string(version()));
  row.emplace_back("commit", std::string(version_commit()));
  row.emplace_back("cpu", cpu_name());
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const bool known = sched_getaffinity(0, sizeof(cpus), &cpus) == 0;
  row.emplace_back("cores", int64_t{known ? CPU_COUNT(&cpus) : 0});
  double load[1] = {0};
  row.emplace_back("load_average", getloadavg(load, 1) == 1 ? load[0] : 0.0);
}

}  // namespace sluice
