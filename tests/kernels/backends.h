// The backends that every kernel test runs on: a row each. A backend is made once and shared; tests
// of one binary run one after the other.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace sluice {

struct BackendCase {
  std::string name;  // of the test: letters, digits, underscores
  Backend* backend;
};

// GoogleTest looks for this name. NOLINTNEXTLINE(readability-identifier-naming)
inline void PrintTo(const BackendCase& c, std::ostream* out) { *out << c.name; }

// Every instruction set of this machine on one thread and the GPU, if there is one, each with both
// activation types; the best instruction set on three threads; and the GPU with the attention of
// other cards.
const std::vector<BackendCase>& backend_cases();

class KernelTest : public testing::TestWithParam<BackendCase> {
 protected:
  Backend& backend() const { return *GetParam().backend; }
};

}  // namespace sluice

// Runs the TEST_Ps of `suite`, a KernelTest, on every backend.
#define SLUICE_ON_EVERY_BACKEND(suite)                                            \
  INSTANTIATE_TEST_SUITE_P(, suite, testing::ValuesIn(::sluice::backend_cases()), \
                           [](const auto& param_info) { return param_info.param.name; })
