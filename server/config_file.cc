// Reads a YAML file of options. The only file that includes yaml-cpp.
#include <yaml-cpp/yaml.h>

#include <fstream>

#include "base/text.h"
#include "server/options.h"

namespace sluice {
namespace {

constexpr size_t kMaxConfigFileBytes = 1 << 20;

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxConfigFileBytes + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return invalid_argument(str(path, ": cannot be read"), "config");
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxConfigFileBytes) {
    return invalid_argument(
        str(path, ": larger than ", kMaxConfigFileBytes, " bytes; is it a file of options?"),
        "config");
  }
  return text;
}

Result<Assignment> read_entry(const std::string& path, const YAML::Node& key,
                              const YAML::Node& value) {
  const std::string where = str(path, ":", key.Mark().line + 1);
  if (!key.IsScalar()) return invalid_argument(where + ": a key must be a word", "config");
  Assignment entry{
      .name = canonical_name(key.Scalar()), .values = {}, .where = where + ": " + key.Scalar()};
  if (value.IsScalar()) {
    entry.values.push_back(value.Scalar());
  } else if (value.IsSequence()) {
    for (const YAML::Node& item : value) {
      if (!item.IsScalar()) return invalid_argument(entry.where + ": a list holds plain values");
      entry.values.push_back(item.Scalar());
    }
  } else {
    return invalid_argument(entry.where + ": has no value; leave the key out for the default");
  }
  return entry;
}

}  // namespace

Result<std::vector<Assignment>> read_config_file(const std::string& path) {
  Result<std::string> text = read_text(path);
  if (!text.ok()) return text.status();
  std::vector<Assignment> entries;
  try {
    const YAML::Node root = YAML::Load(text.value());
    if (root.IsNull()) return entries;
    if (!root.IsMap()) return invalid_argument(str(path, ": must be a map of options"), "config");
    for (const auto& pair : root) {
      Result<Assignment> entry = read_entry(path, pair.first, pair.second);
      if (!entry.ok()) return entry.status();
      for (const Assignment& earlier : entries) {
        if (earlier.name != entry->name) continue;
        return invalid_argument(str(entry->where, " stands twice in this file"), "config");
      }
      entries.push_back(std::move(entry).value());
    }
  } catch (const YAML::Exception& error) {
    return invalid_argument(str(path, ":", error.mark.line + 1, ": ", error.msg), "config");
  }
  return entries;
}

}  // namespace sluice
