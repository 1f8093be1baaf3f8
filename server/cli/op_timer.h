// OpTimer: times one op after another and compares each with the ceilings of its device.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/backend.h"
#include "server/cli/report.h"

namespace sluice {

// The least that an op must do, whatever computes it.
struct OpWork {
  double bytes = 0;     // moved between memory and processor
  double flops = 0;     // two a multiply-add
  bool writes = false;  // as many bytes as it reads, about: then copies set its ceiling, not reads
};

class OpTimer {
 public:
  // `cpu_clock`: counts the calling thread's CPU time, so that other load disturbs little; right
  // for a host backend of one thread. Otherwise wall time. Rows go to `report`, which outlives it.
  OpTimer(Backend& backend, const Ceilings& ceilings, bool cpu_clock, std::string only,
          Report& report);

  // True where the command asked for this op: no name was given, or this one contains it.
  bool wants(const std::string& op) const { return op.find(only_) != std::string::npos; }
  // Calls body(i), i = 0, 1, ... many times, waiting for the device after each of several samples,
  // and adds a row to "ops": median time of a call, rates, the floor and the share of the time that
  // it is. What would take too long on this device goes to "skipped" instead.
  void time(const std::string& op, const std::string& size, const OpWork& work,
            const std::function<void(int64_t)>& body);
  void skip(const std::string& op, const std::string& size, const std::string& why);

 private:
  double now() const;
  double median_seconds(const std::function<void(int64_t)>& body) const;

  Backend& backend_;
  Ceilings ceilings_;
  bool cpu_clock_;
  std::string only_;
  Report& report_;
};

}  // namespace sluice
