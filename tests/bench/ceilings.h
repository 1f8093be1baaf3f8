// What this machine can do at best, measured: what the benches compare themselves with.
#pragma once

namespace sluice {

// One core's multiply-adds of bf16 pairs (AVX-512 BF16) or, where there is none, f32 vectors, from
// registers: floating-point operations a CPU second.
double peak_flops();

// One core's reads of memory far larger than its caches, bytes a CPU second.
double peak_read_bandwidth();

}  // namespace sluice
