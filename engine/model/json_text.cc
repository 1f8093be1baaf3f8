// Bounded reading, and a SAX pass that builds nothing.
#include "engine/model/json_text.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/text.h"

namespace sluice {
namespace {

// Stops at the first offence and remembers it in words.
class StrictChecker : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StrictChecker(int max_depth) : max_depth_(max_depth) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return value(); }
  bool boolean(bool /*value*/) override { return value(); }
  bool number_integer(number_integer_t /*value*/) override { return value(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return value(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return value(); }
  bool string(string_t& /*value*/) override { return value(); }
  bool binary(binary_t& /*value*/) override { return value(); }
  bool start_object(size_t /*elements*/) override { return enter(/*is_object=*/true); }
  bool start_array(size_t /*elements*/) override { return enter(/*is_object=*/false); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    return refuse(str("key \"", shown(name), "\" appears twice in one object"));
  }
  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return refuse(str("not valid JSON near byte ", position));
  }

 private:
  bool value() { return !keys_.empty() || refuse("the outermost value is not an object"); }
  bool enter(bool is_object) {
    if (keys_.empty() && !is_object) return refuse("the outermost value is not an object");
    if (static_cast<int>(keys_.size()) == max_depth_)
      return refuse(str("nested deeper than ", max_depth_, " levels"));
    keys_.emplace_back();
    return true;
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }
  bool refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  int max_depth_;
  std::vector<std::unordered_set<std::string>> keys_;  // of each open level; arrays hold none
  std::string problem_;
};

}  // namespace

Result<std::string> read_text_file(const std::string& path, size_t max_bytes) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return Status(StatusCode::kNotFound, str(path, ": ", std::strerror(errno)), path);
  if (!S_ISREG(info.st_mode)) return invalid_argument(str(path, " is not a regular file"), path);
  const auto size = static_cast<size_t>(info.st_size);
  if (size > max_bytes) {
    return invalid_argument(str(path, " has ", size, " bytes; the limit is ", max_bytes), path);
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(size, '\0');
  in.read(text.data(), static_cast<std::streamsize>(size));
  if (!in) return Status(StatusCode::kNotFound, str(path, ": ", std::strerror(errno)), path);
  return text;
}

std::string shown(std::string_view text) {
  constexpr size_t kMaxShownBytes = 80;
  std::string out(text.substr(0, kMaxShownBytes));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > kMaxShownBytes) out += "...";
  return out;
}

Status check_json_object(std::string_view text, const std::string& file, int max_depth) {
  StrictChecker checker(max_depth);
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &checker)) return {};
  return invalid_argument(str(file, ": ", checker.problem()), file);
}

}  // namespace sluice
