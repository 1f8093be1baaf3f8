// `sluice bench kernels`: the device's ceilings, then every op of the backend as a share of them.
#include <iostream>

#include "base/log.h"
#include "engine/model/model_loader.h"
#include "server/cli/assembly.h"
#include "server/cli/command.h"
#include "server/cli/kernel_workloads.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Kernels";

struct KernelsOptions {
  std::string only;
  std::string json;
};

void add_options(OptionSet& set, KernelsOptions& options) {
  set.add({.name = "only",
           .group = kGroup,
           .target = &options.only,
           .help = "Ops whose names contain this: gemm, attend decode, add_rms_norm, sample",
           .command_line_only = true});
  add_json_option(set, kGroup, options.json);
}

Status run(const KernelsOptions& options, const ServerConfig& config, Report& report) {
  const Result<std::string> path = resolve_model(config.model);
  if (!path.ok()) return path.status();
  const Result<ModelConfig> model = read_model_config(path.value());
  if (!model.ok()) return model.status();
  const DType weights = weight_dtype({.dtype = dtype_named(config.dtype)}, model.value());
  const Result<std::unique_ptr<Backend>> backend = make_backend(config);
  if (!backend.ok()) return backend.status();
  const BackendInfo info = backend.value()->info();
  report.section("model") = {
      {"model", model_name(path.value())},
      {"device", info.name},
      {"dtype", std::string(name_of(weights))},
      {"activation_dtype",
       std::string(name_of(weights == DType::kF32 ? weights : info.activations))}};
  const Result<Ceilings> ceilings = backend.value()->measure_ceilings();
  if (!ceilings.ok()) return ceilings.status();
  report.section("ceilings") = {{"read_GB/s", 1e-9 * ceilings->read_bytes_per_s},
                                {"copy_GB/s", 1e-9 * ceilings->copy_bytes_per_s},
                                {"TFLOP/s", 1e-12 * ceilings->flops_per_s}};
  const bool cpu_clock = info.is_host && config.threads == 1;
  OpTimer timer(*backend.value(), ceilings.value(), cpu_clock, options.only, report);
  return KernelWorkloads(*backend.value(), model.value(), weights, timer).run();
}

}  // namespace

int run_bench_kernels(const Arguments& arguments) {
  OptionSet set("bench kernels",
                "Measures the device's ceilings, then every op at the model's sizes beside them.");
  KernelsOptions options;
  ServerConfig config;
  add_options(set, options);
  add_engine_options(set, config);
  set.hide_group(kCacheGroup);
  set.hide_group(kSchedulerGroup);
  if (const auto status = read_options(set, arguments)) return *status;
  if (const Status status = set_log_level(config.log_level); !status.ok()) return fail(status);
  Report report;
  add_machine(report);
  if (const Status status = run(options, config, report); !status.ok()) return fail(status);
  const Status status = report.finish(std::cout, options.json);
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace sluice
