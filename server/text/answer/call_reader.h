// CallReader: one call of a tool as a model writes it, byte by byte, into a name and JSON.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr size_t kMaxCallNameBytes = 256;

// Where a call goes to.
class CallSink {
 public:
  virtual ~CallSink() = default;
  // From here on the call is one, and stays one. False: it is not: nobody offers that tool.
  virtual bool begin(const std::string& name) = 0;
  // The next of the arguments; after begin().
  virtual void arguments(std::string_view json) = 0;
};

class CallReader {
 public:
  enum class Step {
    kMore,
    kDone,  // the call ends with this byte
    kFail,  // no call goes on with this byte
  };

  virtual ~CallReader() = default;
  // Not after kDone or kFail.
  virtual Step feed(char byte, CallSink& sink) = 0;
};

// {"name": "f", "arguments": {...}}, in any order and with other members, which are passed over;
// "parameters" is "arguments" too. Arguments may be an object, an object in a string, null, or
// missing, which is {}.
std::unique_ptr<CallReader> make_json_call_reader();
// f[ARGS]{...}, with or without [CALL_ID]id before [ARGS], or f{...}.
std::unique_ptr<CallReader> make_named_call_reader();
// f(a='x', b=[1, True], c={'d': None}): keyword arguments that are literals of Python.
std::unique_ptr<CallReader> make_python_call_reader();

}  // namespace sluice
