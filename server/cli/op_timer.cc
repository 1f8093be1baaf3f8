// Samples of about ten milliseconds, each ended by a wait for the device; the median of them.
#include "server/cli/op_timer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <utility>

#include "base/text.h"

namespace sluice {
namespace {

constexpr double kSampleSeconds = 0.01;  // a wait costs a thousandth of it
constexpr double kEnoughSeconds = 0.1;   // of samples, once there are kMinSamples
constexpr size_t kMinSamples = 3, kMaxSamples = 9;
constexpr double kMaxCalls = 2000;      // a sample
constexpr double kMaxFloorSeconds = 2;  // of one call that is timed at all

}  // namespace

OpTimer::OpTimer(Backend& backend, const Ceilings& ceilings, bool cpu_clock, std::string only,
                 Report& report)
    : backend_(backend),
      ceilings_(ceilings),
      cpu_clock_(cpu_clock),
      only_(std::move(only)),
      report_(report) {}

double OpTimer::now() const {
  if (cpu_clock_) {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(wall).count();
}

double OpTimer::median_seconds(const std::function<void(int64_t)>& body) const {
  int64_t calls = 0;
  const auto sample = [&](double count) {
    const double start = now();
    const auto last = calls + static_cast<int64_t>(count);
    while (calls < last) body(calls++);
    backend_.synchronize();
    return (now() - start) / count;
  };
  sample(1);  // first use: scratch memory, kernels' code
  // The first guess holds a whole wait; the second one hardly.
  double count = 1;
  for (int guess = 0; guess < 2; ++guess)
    count = std::clamp(std::floor(kSampleSeconds / sample(count)), 1.0, kMaxCalls);
  std::vector<double> samples;
  double spent = 0;
  while (samples.size() < kMinSamples || (spent < kEnoughSeconds && samples.size() < kMaxSamples)) {
    samples.push_back(sample(count));
    spent += samples.back() * count;
  }
  return percentile(samples, 50);
}

void OpTimer::time(const std::string& op, const std::string& size, const OpWork& work,
                   const std::function<void(int64_t)>& body) {
  const double bandwidth = work.writes ? ceilings_.copy_bytes_per_s : ceilings_.read_bytes_per_s;
  const double floor = std::max(work.bytes / bandwidth, work.flops / ceilings_.flops_per_s);
  if (floor > kMaxFloorSeconds)
    return skip(op, size, str("takes ", std::lround(floor), " s at the very least"));
  const double seconds = median_seconds(body);
  report_.add_row("ops", {{"op", op},
                          {"size", size},
                          {"us", 1e6 * seconds},
                          {"GB/s", 1e-9 * work.bytes / seconds},
                          {"TFLOP/s", 1e-12 * work.flops / seconds},
                          {"floor_us", 1e6 * floor},
                          {"floor/time", floor / seconds}});
}

void OpTimer::skip(const std::string& op, const std::string& size, const std::string& why) {
  report_.add_row("skipped", {{"op", op}, {"size", size}, {"why", why}});
}

}  // namespace sluice
