// Runtime: what operations on values share during one rendering: the first failure, and bounds on
// steps, text and items, so that a short template cannot ask for endless work or memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/text/jinja/value.h"

namespace sluice::jinja {

// Bounds of one rendering.
inline constexpr int64_t kMaxSteps = 1'000'000;                    // expressions and statements run
inline constexpr size_t kMaxOutputBytes = size_t{16} << 20;        // of the result
inline constexpr size_t kMaxIntermediateBytes = size_t{64} << 20;  // of all texts made on the way
inline constexpr size_t kMaxItems = 2'000'000;                     // of all lists made on the way
inline constexpr size_t kMaxWeight = 2'000'000;                    // of one value
inline constexpr size_t kWeightPerStep = 64;                       // that is looked at
inline constexpr int kMaxCallDepth = 50;                           // of macros and recursive loops

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// After the first failure every operation returns quickly; its result is then not used.
class Runtime {
 public:
  explicit Runtime(std::chrono::system_clock::time_point now) : now_(now) {}

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  // Failures name the line that runs.
  void set_line(int line) { line_ = line; }
  Value fail(const std::string& what);
  void count_step(size_t steps = 1);
  // Counts what it costs to look at all of `value`.
  void count_work(const Value& value);
  // Whether this much text, or so many items, may still be made; fails if not.
  bool may_make_text(size_t bytes);
  bool may_make_items(size_t count);

  Value text(MarkedText text);  // a text made by an operation
  Value text(std::string_view text, bool from_user = false) {
    return this->text(MarkedText(text, from_user));
  }
  Value list(std::vector<Value> items, ListKind kind = ListKind::kList);
  Value dict(std::vector<DictItem> items);
  Value new_namespace();

  // What str() makes of a value; undefined is empty.
  MarkedText printed(const Value& value);
  // The items that a loop over `value` sees: of a list, a mapping's keys, a text's code points.
  std::vector<Value> items_of(const Value& value);
  // value.name: methods of mappings and texts go before their items.
  Value attribute(const Value& object, const std::string& name);
  // value[index]: items go before methods.
  Value subscript(const Value& object, const Value& index);
  // "a.b.0": subscripts, one after the other.
  Value path(const Value& object, const Value& path);

  std::chrono::system_clock::time_point now() const { return now_; }

 private:
  Value deep_enough(Value value);

  std::chrono::system_clock::time_point now_;
  Status status_;
  int line_ = 0;
  int64_t steps_ = 0;
  size_t text_bytes_ = 0;
  size_t num_items_ = 0;
  std::vector<std::unique_ptr<NamespaceData>> namespaces_;
};

// Arguments by the names of parameters, in their order. Fails for too many and unknown ones.
class Bound {
 public:
  Bound(Runtime& runtime, const Arguments& arguments,
        std::initializer_list<std::string_view> parameters);
  bool has(size_t i) const { return given_[i]; }
  const Value& operator[](size_t i) const { return values_[i]; }
  // Fails unless it is absent, or of the type.
  int64_t integer(size_t i, int64_t fallback) const;
  bool flag(size_t i, bool fallback) const { return has(i) ? truthy(values_[i]) : fallback; }
  std::string text(size_t i, const std::string& fallback) const;

 private:
  Runtime& runtime_;
  std::vector<Value> values_;
  std::vector<bool> given_;
};

// Python's repr() of a value, user's text marked as such.
void append_repr(const Value& value, MarkedText& out);
// As Python writes a float: 1.0, 1e-05.
std::string float_text(double value);

// Code points of valid UTF-8, and the byte at which the n-th begins (the size, past the end).
int64_t count_code_points(std::string_view text);
size_t code_point_offset(std::string_view text, int64_t n);

}  // namespace sluice::jinja
