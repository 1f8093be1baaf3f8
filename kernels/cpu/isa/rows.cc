// Ops that treat each row alone: norms, SiLU, rotary positions.
#include "kernels/cpu/isa/functions.h"
#include "kernels/cpu/isa/simd.h"

namespace sluice::SLUICE_ISA {
namespace {

template <typename Body>
SLUICE_INLINE void with_dtype(DType dtype, Body&& body) {
  if (dtype == DType::kF32) {
    body(float{});
  } else {
    body(BF16{});
  }
}

// Calls body(i, lanes) for every vector of a row of n elements; lanes < kLanes at its end only.
template <typename Body>
SLUICE_INLINE void for_vectors(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, static_cast<int>(n - i));
}
template <typename T>
SLUICE_INLINE Vf load_lanes(const T* p, int lanes) {
  return lanes == kLanes ? load_f32(p) : load_part(p, lanes);
}
template <typename T>
SLUICE_INLINE void store_lanes(T* p, Vf v, int lanes) {
  if (lanes == kLanes) {
    store_f32(p, v);
  } else {
    store_part(p, v, lanes);
  }
}

template <typename T>
T* row_of(const Rows& rows, int64_t r) {
  return static_cast<T*>(rows.data) + r * rows.stride;
}

template <typename T>
SLUICE_INLINE void scale_row(T* out, const T* x, const float* weight, Vf squares, int64_t n,
                             float eps) {
  const float mean = reduce_add(squares) / static_cast<float>(n);
  const Vf factor = splat(1.0F / __builtin_sqrtf(mean + eps));
  for_vectors(n, [&](int64_t i, int lanes) {
    store_lanes(out + i, load_lanes(x + i, lanes) * factor * load_lanes(weight + i, lanes), lanes);
  });
}

// out = g sigmoid(steepen(g)) up of a row's gate and up halves.
template <typename Steepen>
SLUICE_INLINE void gate_rows(const Rows& out, const Rows& gate_up, int64_t rows,
                             Steepen&& steepen) {
  with_dtype(out.dtype, [&](auto element) {
    using T = decltype(element);
    for (int64_t r = 0; r < rows; ++r) {
      T* to = row_of<T>(out, r);
      const T* gate = row_of<T>(gate_up, r);
      const T* up = gate + out.cols;
      for_vectors(out.cols, [&](int64_t i, int lanes) {
        const Vf g = load_lanes(gate + i, lanes);
        // exp(-x) overflows below x = -88; the product is 0 to f32's precision there already.
        const Vf sigmoid = 1.0F / (1.0F + exp(min(-steepen(g), splat(88.0F))));
        store_lanes(to + i, g * sigmoid * load_lanes(up + i, lanes), lanes);
      });
    }
  });
}

}  // namespace

void rms_norm(const Rows& out, const Rows& x, const float* weight, float eps, int64_t rows) {
  with_dtype(x.dtype, [&](auto element) {
    using T = decltype(element);
    for (int64_t r = 0; r < rows; ++r) {
      const T* from = row_of<T>(x, r);
      Vf squares{};
      for_vectors(x.cols, [&](int64_t i, int lanes) {
        const Vf v = load_lanes(from + i, lanes);
        squares = fma(v, v, squares);
      });
      scale_row(row_of<T>(out, r), from, weight, squares, x.cols, eps);
    }
  });
}

// The sum is rounded to the residual's dtype before it is normalised, so that what is normed is
// what the next layer adds to.
void add_rms_norm(const Rows& out, const Rows& residual, const Rows& delta, const float* weight,
                  float eps, int64_t rows) {
  with_dtype(residual.dtype, [&](auto element) {
    using T = decltype(element);
    for (int64_t r = 0; r < rows; ++r) {
      T* sum = row_of<T>(residual, r);
      const T* add = row_of<T>(delta, r);
      Vf squares{};
      for_vectors(residual.cols, [&](int64_t i, int lanes) {
        store_lanes(sum + i, load_lanes(sum + i, lanes) + load_lanes(add + i, lanes), lanes);
        const Vf v = load_lanes(sum + i, lanes);
        squares = fma(v, v, squares);
      });
      scale_row(row_of<T>(out, r), sum, weight, squares, residual.cols, eps);
    }
  });
}

void silu_mul(const Rows& out, const Rows& gate_up, int64_t rows) {
  gate_rows(out, gate_up, rows, [](Vf g) { return g; });
}

// (1 + tanh(x)) / 2 = sigmoid(2 x).
void gelu_mul(const Rows& out, const Rows& gate_up, int64_t rows) {
  constexpr float kTwiceRoot = 1.5957691216F;  // 2 sqrt(2 / pi)
  gate_rows(out, gate_up, rows,
            [](Vf g) { return kTwiceRoot * g * fma(g * g, splat(0.044715F), splat(1.0F)); });
}

void add(const Rows& x, const Rows& delta, int64_t rows) {
  with_dtype(x.dtype, [&](auto element) {
    with_dtype(delta.dtype, [&](auto addend) {
      using T = decltype(element);
      for (int64_t r = 0; r < rows; ++r) {
        T* sum = row_of<T>(x, r);
        const auto* more = row_of<decltype(addend)>(delta, r);
        for_vectors(x.cols, [&](int64_t i, int lanes) {
          store_lanes(sum + i, load_lanes(sum + i, lanes) + load_lanes(more + i, lanes), lanes);
        });
      }
    });
  });
}

void scale(const Rows& x, float factor, int64_t rows) {
  with_dtype(x.dtype, [&](auto element) {
    using T = decltype(element);
    for (int64_t r = 0; r < rows; ++r) {
      T* row = row_of<T>(x, r);
      for_vectors(x.cols, [&](int64_t i, int lanes) {
        store_lanes(row + i, load_lanes(row + i, lanes) * splat(factor), lanes);
      });
    }
  });
}

void soft_cap(const Rows& x, float cap, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    auto* row = row_of<float>(x, r);
    for_vectors(x.cols, [&](int64_t i, int lanes) {
      store_lanes(row + i, soft_cap(load_lanes(row + i, lanes), cap), lanes);
    });
  }
}

void rope(void* row, DType dtype, int heads, int head_dim, const float* cos, const float* sin) {
  const int half = head_dim / 2;
  with_dtype(dtype, [&](auto element) {
    using T = decltype(element);
    for (int h = 0; h < heads; ++h) {
      T* low = static_cast<T*>(row) + h * head_dim;
      T* high = low + half;
      for_vectors(half, [&](int64_t i, int lanes) {
        const Vf a = load_lanes(low + i, lanes);
        const Vf b = load_lanes(high + i, lanes);
        const Vf c = load_lanes(cos + i, lanes);
        const Vf s = load_lanes(sin + i, lanes);
        store_lanes(low + i, fma(a, c, -(b * s)), lanes);
        store_lanes(high + i, fma(b, c, a * s), lanes);
      });
    }
  });
}

}  // namespace sluice::SLUICE_ISA
