// Values of the template language.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "server/text/jinja/marked_text.h"

namespace sluice::jinja {

inline constexpr int kMaxValueDepth = 100;  // of lists and mappings inside each other

struct ListData;
struct DictData;
struct NamespaceData;
struct LoopData;
struct FunctionData;

// Immutable, but for namespaces, and cheap to copy.
struct Value {
  struct Undefined {
    std::string name;  // what was looked up in vain, for messages
  };
  struct None {};
  using Text = std::shared_ptr<const MarkedText>;
  using List = std::shared_ptr<const ListData>;  // or a tuple, or a generator
  using Dict = std::shared_ptr<const DictData>;
  using Namespace = NamespaceData*;  // the evaluator's: a namespace may hold itself
  using Loop = std::shared_ptr<const LoopData>;
  using Function = std::shared_ptr<const FunctionData>;

  std::variant<Undefined, None, bool, int64_t, double, Text, List, Dict, Namespace, Loop, Function>
      data;

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
};

enum class ListKind {
  kList,
  kTuple,
  kGenerator,  // what map and its kin give: always true, and only good for looping over
};

struct ListData {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  int depth = 1;  // 1: holds no list or mapping
  size_t weight = 1;
};

struct DictItem {
  std::string key;
  Value value;
  bool key_from_user = false;
};

struct DictData {
  std::vector<DictItem> items;  // in the order of their making
  int depth = 1;
  size_t weight = 1;
};

struct NamespaceData {
  std::vector<std::pair<std::string, Value>> items;
};

// The object called `loop`.
struct LoopData {
  std::vector<Value> items;
  size_t index = 0;
  int depth = 1;
  const void* recursive = nullptr;  // the statement, if loop(...) may be called
};

// What can be called: one of our functions, a macro, or a method of a value.
struct FunctionData {
  std::string name;
  std::optional<Value> self;    // of a method
  const void* macro = nullptr;  // the statement of a macro, or of a {% call %} block
  int64_t caller = 0;           // of a {% call %} block: which of the open ones
};

Value make_text(MarkedText text);
Value make_text(std::string_view text, bool from_user);
// Their depth is one more than the deepest value inside; the caller bounds it.
Value make_list(std::vector<Value> items, ListKind kind = ListKind::kList);
Value make_dict(std::vector<DictItem> items);
int depth_of(const Value& value);  // 0: neither list nor mapping
// What it costs to walk over all of a value, in steps of 32 bytes of text or one item; a part that
// is there twice counts twice.
size_t weight_of(const Value& value);

// "undefined", "none", "boolean", "integer", "float", "string", "list", "mapping", ...
const char* type_name(const Value& value);
// As in Python: undefined, none, false, 0 and whatever is empty are false.
bool truthy(const Value& value);
// Text by its bytes, whoever wrote it; true is 1; values of other different types are unequal.
bool equal(const Value& a, const Value& b);
// Negative, zero or positive, as Python orders them; nothing where it cannot.
std::optional<int> compare(const Value& a, const Value& b);
// The item called `key`, or null.
const Value* find(const DictData& dict, std::string_view key);
// Booleans and integers.
std::optional<int64_t> as_integer(const Value& value);
// These, and floats.
std::optional<double> as_number(const Value& value);

}  // namespace sluice::jinja
