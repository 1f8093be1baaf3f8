// Checks for bugs. SLUICE_CHECK and its comparing kin throw InternalError with the expression and
// both values:
//   backend.cc:41: check failed: weight.cols == x.cols (3 vs 4)
// A check is for what no input can cause. What a user can cause is a Status (status.h).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace sluice {

// A bug in Sluice. Caught at the engine's step and at the edge of each call: the request fails with
// 500.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void fail_check(const char* file, int line, const std::string& what) {
  const std::string path(file);
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  throw InternalError(name + ":" + std::to_string(line) + ": check failed: " + what);
}

template <typename A, typename B>
[[noreturn]] void fail_comparison(const char* file, int line, const char* what, const A& a,
                                  const B& b) {
  std::ostringstream out;
  out << what << " (" << a << " vs " << b << ")";
  fail_check(file, line, out.str());
}

// A function, so that temporaries inside a and b (std::min(x, y + 1)) outlive the comparison.
template <typename Holds, typename A, typename B>
inline void check_comparison(const char* file, int line, const char* what, Holds holds, const A& a,
                             const B& b) {
  if (!holds(a, b)) fail_comparison(file, line, what, a, b);
}

}  // namespace sluice

#define SLUICE_CHECK(condition)                                             \
  do {                                                                      \
    if (!(condition)) ::sluice::fail_check(__FILE__, __LINE__, #condition); \
  } while (false)

#define SLUICE_CHECK_COMPARE(a, op, b)       \
  ::sluice::check_comparison(                \
      __FILE__, __LINE__, #a " " #op " " #b, \
      [](const auto& check_a, const auto& check_b) { return check_a op check_b; }, (a), (b))

#define SLUICE_CHECK_EQ(a, b) SLUICE_CHECK_COMPARE(a, ==, b)
#define SLUICE_CHECK_NE(a, b) SLUICE_CHECK_COMPARE(a, !=, b)
#define SLUICE_CHECK_LE(a, b) SLUICE_CHECK_COMPARE(a, <=, b)
#define SLUICE_CHECK_LT(a, b) SLUICE_CHECK_COMPARE(a, <, b)
#define SLUICE_CHECK_GE(a, b) SLUICE_CHECK_COMPARE(a, >=, b)
#define SLUICE_CHECK_GT(a, b) SLUICE_CHECK_COMPARE(a, >, b)
