// The ISA's KernelTable.
#include "kernels/cpu/isa/functions.h"

#define SLUICE_STRING_OF(x) #x
#define SLUICE_STRING(x) SLUICE_STRING_OF(x)

namespace sluice::SLUICE_ISA {
namespace {

bool runs_here() {
#if defined(__AVX512BF16__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bf16");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

extern const KernelTable kTable = {
    .name = SLUICE_STRING(SLUICE_ISA),
    .runs_here = runs_here,
    .x_row_bytes = x_row_bytes,
    .pack_x = pack_x,
    .gemm = gemm,
    .rms_norm = rms_norm,
    .add_rms_norm = add_rms_norm,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .add = add,
    .scale = scale,
    .soft_cap = soft_cap,
    .rope = rope,
    .attend = attend,
    .attend_merge = attend_merge,
    .attend_finish = attend_finish,
    .logit_stats = logit_stats,
    .softmax_weights = softmax_weights,
    .at_least = at_least,
    .race = race,
    .count_above = count_above,
    .exp = exp_all,
};

}  // namespace sluice::SLUICE_ISA
