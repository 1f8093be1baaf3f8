// The filters of the template language that this engine has, as a table.
#pragma once

#include <string_view>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

struct Filter {
  std::string_view name;
  Value (*apply)(Runtime& runtime, const Value& value, const Arguments& arguments);
};

// Null: there is none of this name.
const Filter* find_filter(std::string_view name);

// Those of lists; list_filters.cc.
Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value join_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value map_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value select_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value reject_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value selectattr_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value rejectattr_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value items_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value dictsort_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value sort_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value unique_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value reverse_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value sum_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value min_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value max_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value first_filter(Runtime& runtime, const Value& value, const Arguments& arguments);
Value last_filter(Runtime& runtime, const Value& value, const Arguments& arguments);

}  // namespace sluice::jinja
