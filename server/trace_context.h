// TraceContext: where a request stands in a distributed trace (W3C Trace Context, level 1).
#pragma once

#include <string>
#include <string_view>

namespace sluice {

struct TraceContext {
  std::string trace_id;   // 32 hexadecimal digits; empty, as are the others: there is no trace
  std::string parent_id;  // 16: the span of the client's that asked
  std::string span_id;    // 16: this request's own
  std::string flags;      // 2: the client's, whether the trace is sampled among them

  bool empty() const { return trace_id.empty(); }
  // "00-TRACE-SPAN-FLAGS": traceparent of the answer, with this request's span.
  std::string header() const;
};

// What a request's traceparent header says, with a random span of its own. Empty where the header
// is missing or is none, which the standard asks to be the same.
TraceContext read_trace_context(std::string_view traceparent);

}  // namespace sluice
