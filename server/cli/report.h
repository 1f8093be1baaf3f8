// Report: what a bench or an evaluation found, as a table for people and as JSON for programs; and
// the arithmetic and clocks behind it.
#pragma once

#include <cstdint>
#include <deque>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace sluice {

using ReportValue = std::variant<bool, int64_t, double, std::string>;
using ReportRow = std::vector<std::pair<std::string, ReportValue>>;

// Sections in order. A section is one row of named values (a JSON object; a name and a value per
// line) or a list of rows with the same names (a JSON array; a table with a heading).
class Report {
 public:
  // A section of one row; the reference stays valid.
  ReportRow& section(const std::string& name);
  // Adds a row to the list `name`.
  void add_row(const std::string& name, ReportRow row);

  void print(std::ostream& out) const;
  // {"section": {...}, "list": [{...}, ...]}; numbers that are not finite become null.
  std::string json() const;
  // Prints to `out` and, unless `json_path` is empty, writes the JSON there.
  Status finish(std::ostream& out, const std::string& json_path) const;

 private:
  struct Section {
    std::string name;
    bool is_list = false;
    std::deque<ReportRow> rows;
  };
  Section& find_or_add(const std::string& name, bool is_list);
  std::deque<Section> sections_;
};

// The p-th percentile, 0 ... 100, by linear interpolation between order statistics (numpy's
// default). 0 for no values.
double percentile(std::vector<double> values, double p);
double mean(const std::vector<double>& values);
// Appends "<name>_mean", "_p50", "_p90", "_p99", "_max" of `values` to `row`.
void add_summary(ReportRow& row, const std::string& name, const std::vector<double>& values);

// Wall and CPU (user + system, all threads) seconds of this process, from some origin.
struct Clocks {
  double wall_s = 0;
  double cpu_s = 0;
  static Clocks now();
  Clocks operator-(const Clocks& earlier) const {
    return {wall_s - earlier.wall_s, cpu_s - earlier.cpu_s};
  }
};

// CPU seconds so far and resident bytes of another process of this machine; zeros if it is not
// there.
struct ProcessUsage {
  double cpu_s = 0;
  int64_t resident_bytes = 0;
  static ProcessUsage of(int64_t pid);
};

// Version and commit of the binary; CPU, its cores that we may use, the load average.
void add_machine(Report& report);

// 0 where there was no time: tokens per second, and its like.
inline double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

}  // namespace sluice
