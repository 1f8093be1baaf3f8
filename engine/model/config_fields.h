// ConfigFields: typed access to the JSON objects of a model's config, which come from strangers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

// One object of a parsed text. Remembers the first thing that is wrong, for the whole text; getters
// go on with their default, so that a reader is a plain list of assignments with one check of
// status() at its end. A null counts as absent, as in transformers. Copies share text and status.
class ConfigFields {
 public:
  // `text` after check_json_object (json_text.h); `file` names it in messages.
  static Result<ConfigFields> parse(std::string_view text, const std::string& file);

  const Status& status() const;
  bool has(const char* key) const;
  bool is_object(const char* key) const;
  // Absent where the key is; each refuses a value of another type.
  std::optional<int64_t> integer(const char* key);
  std::optional<double> real(const char* key);  // finite
  std::optional<bool> boolean(const char* key);
  std::optional<std::string> text(const char* key);
  std::optional<ConfigFields> object(const char* key);
  // An int >= 0, or `fallback` when absent; required when there is no fallback.
  int number(const char* key, std::optional<int> fallback = {});
  // One id or a list of them; empty when absent.
  std::vector<TokenId> ids(const char* key);
  // Lists of at most kMaxList elements; empty when absent.
  std::vector<double> reals(const char* key);
  std::vector<int64_t> integers(const char* key);
  std::vector<std::string> texts(const char* key);

  // FILE: KEY is VALUE; EXPECTED
  void refuse(const char* key, const std::string& expected);
  // FILE: PROBLEM
  void refuse(const std::string& problem);

  static constexpr size_t kMaxList = 1024;

 private:
  struct Document;
  ConfigFields(std::shared_ptr<Document> document, const void* object)
      : document_(std::move(document)), object_(object) {}
  template <typename T>
  std::vector<T> list(const char* key, const char* what);

  std::shared_ptr<Document> document_;
  const void* object_;  // a node of the document: its library's type stays out of headers
};

}  // namespace sluice
