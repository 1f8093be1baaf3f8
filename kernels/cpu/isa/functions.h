// What one ISA's sources define for its KernelTable; table.cc fills it in. Contracts:
// kernel_table.h.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace sluice::SLUICE_ISA {

size_t x_row_bytes(ProductTypes types, int64_t steps);
void pack_x(std::byte* to, const Rows& x, int64_t rows, ProductTypes types, int64_t steps);
void gemm(const GemmArgs& args, int64_t first, int64_t last);

void rms_norm(const Rows& out, const Rows& x, const float* weight, float eps, int64_t rows);
void add_rms_norm(const Rows& out, const Rows& residual, const Rows& delta, const float* weight,
                  float eps, int64_t rows);
void silu_mul(const Rows& out, const Rows& gate_up, int64_t rows);
void gelu_mul(const Rows& out, const Rows& gate_up, int64_t rows);
void add(const Rows& x, const Rows& delta, int64_t rows);
void scale(const Rows& x, float factor, int64_t rows);
void soft_cap(const Rows& x, float cap, int64_t rows);
void rope(void* row, DType dtype, int heads, int head_dim, const float* cos, const float* sin);

void attend(const AttendTask& task, float* state, std::byte* scratch);
void attend_merge(float* total, const float* segment, int64_t rows, int head_dim);
void attend_finish(const AttendTask& task, const float* state);

LogitStats logit_stats(const float* x, int64_t n);
float softmax_weights(float* w, const float* x, int64_t n, float max, float inv_temperature);
int64_t at_least(int32_t* ids, const float* w, int64_t n, float bound);
int64_t race(const float* w, const int32_t* ids, int64_t n, uint64_t seed, int64_t draw);
int64_t count_above(const float* x, int64_t n, float bound);
void exp_all(float* out, const float* x, int64_t n);

extern const KernelTable kTable;

}  // namespace sluice::SLUICE_ISA
