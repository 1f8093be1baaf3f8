// The commands of `sluice`, one a file. Each reads its arguments (program and command name already
// removed), does its work and returns the process's exit status: kExitOk, kExitFailed when the work
// or its result failed, kExitUsage when the arguments are wrong.
#pragma once

#include <string>
#include <vector>

namespace sluice {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitStalled = 3;  // serve: the engine stood still, see --watchdog-timeout

using Arguments = std::vector<std::string>;

int run_serve(const Arguments& arguments);
int run_client(const Arguments& arguments);
int run_healthcheck(const Arguments& arguments);
int run_generate(const Arguments& arguments);
int run_bench_frontend(const Arguments& arguments);
int run_bench_kernels(const Arguments& arguments);
int run_bench_latency(const Arguments& arguments);
int run_bench_throughput(const Arguments& arguments);
int run_bench_tokenizer(const Arguments& arguments);
int run_bench_serve(const Arguments& arguments);
int run_eval_golden(const Arguments& arguments);
int run_eval_retrieval(const Arguments& arguments);
int run_eval_perplexity(const Arguments& arguments);

}  // namespace sluice
