// Calls whose arguments are JSON.
#include <utility>

#include "server/text/answer/bytes.h"
#include "server/text/answer/call_reader.h"
#include "server/text/answer/json_scanner.h"
#include "server/text/answer/string_decoder.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

using Step = CallReader::Step;

// A JSON object, passed on as it is but for control characters in strings, which models write and
// JSON wants escaped.
class ObjectCopier {
 public:
  JsonScanner::Step feed(char byte, std::string& out) {
    const bool bare = static_cast<unsigned char>(byte) < 0x20 && scanner_.in_string();
    const JsonScanner::Step step = scanner_.feed(byte);
    if (step == JsonScanner::Step::kFail) return step;
    if (bare) {
      append_json_escaped(&out, {&byte, 1});
    } else {
      out += byte;
    }
    return step;
  }

 private:
  JsonScanner scanner_;
};

class JsonCallReader final : public CallReader {
 public:
  Step feed(char byte, CallSink& sink) override {
    switch (state_) {
      case State::kKey:
        return feed_key(byte);
      case State::kName:
        return feed_name(byte, sink);
      case State::kObject:
        return feed_object(byte, sink);
      case State::kString:
        return feed_string(byte, sink);
      case State::kOther:
        return feed_other(byte, sink);
      default:
        return is_space_byte(byte) ? Step::kMore : feed_between(byte, sink);
    }
  }

 private:
  enum class State {
    kOpen,
    kFirstKey,
    kNextKey,
    kKey,
    kColon,
    kValue,
    kName,
    kObject,  // arguments
    kString,  // arguments in a string
    kOther,   // a member that says nothing
    kNext,
  };
  static constexpr size_t kMaxKeyBytes = 256;

  Step go(State next) {
    state_ = next;
    return Step::kMore;
  }

  Step feed_between(char byte, CallSink& sink) {
    switch (state_) {
      case State::kOpen:
        return byte == '{' ? go(State::kFirstKey) : Step::kFail;
      case State::kFirstKey:
      case State::kNextKey:
        key_.clear();
        return byte == '"' ? go(State::kKey) : Step::kFail;
      case State::kColon:
        return byte == ':' ? go(State::kValue) : Step::kFail;
      case State::kValue:
        return begin_value(byte, sink);
      default:  // kNext
        if (byte == ',') return go(State::kNextKey);
        return byte == '}' ? end(sink) : Step::kFail;
    }
  }

  Step feed_key(char byte) {
    if (byte == '"') return go(State::kColon);
    if (byte == '\\' || key_.size() == kMaxKeyBytes) return Step::kFail;
    key_ += byte;
    return Step::kMore;
  }

  Step begin_value(char byte, CallSink& sink) {
    if (key_ == "name" && name_.empty()) return byte == '"' ? go(State::kName) : Step::kFail;
    if ((key_ == "arguments" || key_ == "parameters") && !has_arguments_) {
      if (byte == '"') return go(State::kString);
      if (byte == '{') {
        state_ = State::kObject;
        return feed_object(byte, sink);
      }
      if (byte != 'n') return Step::kFail;  // neither null
    }
    state_ = State::kOther;
    other_ = JsonScanner();
    return feed_other(byte, sink);
  }

  Step feed_name(char byte, CallSink& sink) {
    const StringDecoder::Step step = name_decoder_.feed(byte, name_);
    if (step == StringDecoder::Step::kFail || name_.size() > kMaxCallNameBytes) return Step::kFail;
    if (step == StringDecoder::Step::kMore) return Step::kMore;
    state_ = State::kNext;
    if (name_.empty()) return Step::kFail;
    return has_arguments_ ? begin(sink) : Step::kMore;
  }

  Step feed_object(char byte, CallSink& sink) {
    std::string out;
    const JsonScanner::Step step = object_.feed(byte, out);
    if (step == JsonScanner::Step::kFail) return Step::kFail;
    if (step == JsonScanner::Step::kDone) state_ = State::kNext;
    return pass(out, sink);
  }

  // The string's text is an object, with white space round it.
  Step feed_string(char byte, CallSink& sink) {
    std::string decoded, out;
    const StringDecoder::Step step = string_.feed(byte, decoded);
    if (step == StringDecoder::Step::kFail) return Step::kFail;
    for (const char inner : decoded) {
      if (is_space_byte(inner) && (!has_arguments_ || object_over_)) continue;
      if (object_over_ || (!has_arguments_ && inner != '{')) return Step::kFail;
      const JsonScanner::Step inside = object_.feed(inner, out);
      if (inside == JsonScanner::Step::kFail) return Step::kFail;
      object_over_ = inside == JsonScanner::Step::kDone;
      if (pass(std::exchange(out, {}), sink) == Step::kFail) return Step::kFail;
    }
    if (step == StringDecoder::Step::kMore) return Step::kMore;
    return !has_arguments_ || object_over_ ? go(State::kNext) : Step::kFail;
  }

  Step feed_other(char byte, CallSink& sink) {
    switch (other_.feed(byte)) {
      case JsonScanner::Step::kMore:
        return Step::kMore;
      case JsonScanner::Step::kDone:
        return go(State::kNext);
      case JsonScanner::Step::kEnded:
        state_ = State::kNext;
        return feed(byte, sink);
      default:
        return Step::kFail;
    }
  }

  // Arguments that come before the name wait for it.
  Step pass(const std::string& json, CallSink& sink) {
    const bool first = !std::exchange(has_arguments_, true);
    if (first && !name_.empty() && begin(sink) == Step::kFail) return Step::kFail;
    if (begun_) {
      sink.arguments(json);
    } else {
      early_ += json;
    }
    return Step::kMore;
  }

  Step begin(CallSink& sink) {
    begun_ = true;
    if (!sink.begin(name_)) return Step::kFail;
    if (!early_.empty()) sink.arguments(early_);
    return Step::kMore;
  }

  Step end(CallSink& sink) {
    if (name_.empty()) return Step::kFail;
    if (has_arguments_) return Step::kDone;
    early_ = "{}";
    return begin(sink) == Step::kFail ? Step::kFail : Step::kDone;
  }

  State state_ = State::kOpen;
  std::string key_;
  std::string name_;
  StringDecoder name_decoder_;
  std::string early_;
  bool has_arguments_ = false;
  bool begun_ = false;
  bool object_over_ = false;  // of arguments in a string
  ObjectCopier object_;
  StringDecoder string_;
  JsonScanner other_;
};

class NamedCallReader final : public CallReader {
 public:
  Step feed(char byte, CallSink& sink) override {
    if (!begun_ && byte != '{') return feed_head(byte);
    if (!begun_ && !begin(sink)) return Step::kFail;
    std::string out;
    const JsonScanner::Step step = arguments_.feed(byte, out);
    if (step == JsonScanner::Step::kFail) return Step::kFail;
    sink.arguments(out);
    return step == JsonScanner::Step::kDone ? Step::kDone : Step::kMore;
  }

 private:
  static constexpr size_t kMaxHeadBytes = 2 * kMaxCallNameBytes;

  Step feed_head(char byte) {
    const bool in_name = head_.find('[') == std::string::npos;
    const bool fits =
        is_name_byte(byte) || is_space_byte(byte) || byte == '[' || (!in_name && byte == ']');
    if (!fits || head_.size() == kMaxHeadBytes) return Step::kFail;
    head_ += byte;
    return Step::kMore;
  }

  bool begin(CallSink& sink) {
    begun_ = true;
    std::string name = head_.substr(0, head_.find('['));
    while (!name.empty() && is_space_byte(name.back())) name.pop_back();
    std::string_view rest = std::string_view(head_).substr(std::min(head_.find('['), head_.size()));
    while (!rest.empty() && is_space_byte(rest.back())) rest.remove_suffix(1);
    const bool good = rest.empty() || rest == "[ARGS]" ||
                      (rest.starts_with("[CALL_ID]") && rest.ends_with("[ARGS]"));
    const bool one_word = name.find_first_of(" \n\r\t") == std::string::npos;
    return good && one_word && !name.empty() && sink.begin(name);
  }

  std::string head_;  // up to the arguments
  bool begun_ = false;
  ObjectCopier arguments_;
};

}  // namespace

std::unique_ptr<CallReader> make_json_call_reader() { return std::make_unique<JsonCallReader>(); }
std::unique_ptr<CallReader> make_named_call_reader() { return std::make_unique<NamedCallReader>(); }

}  // namespace sluice
