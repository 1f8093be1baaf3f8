// JsonFields: typed members of a JSON object, and the first thing that is wrong with them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/text/json_value.h"

namespace sluice {

// A member that is absent, or null, has the fallback. After a failure, what is read is not used.
class JsonFields {
 public:
  // `where` names the object in messages: "model". Both must outlive this.
  JsonFields(const JsonValue& object, const std::string& where);

  bool flag(const char* key, bool fallback);
  std::string text(const char* key, const std::string& fallback);
  std::string text(const char* key);  // must be there
  std::optional<int64_t> integer(const char* key);
  const JsonValue::Array& array(const char* key);    // must be there
  const JsonValue::Object& object(const char* key);  // must be there
  // Null: absent, or null.
  const JsonValue* find(const char* key) const;

  void fail(const std::string& what);
  const Status& status() const { return status_; }

 private:
  const JsonValue& object_;
  const std::string& where_;
  Status status_;
  JsonValue::Array no_items_;
  JsonValue::Object no_members_;
};

}  // namespace sluice
