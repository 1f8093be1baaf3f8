// FakeGrammar: a Grammar over token ids, whose sentences depend on every token before.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/mix.h"
#include "engine/grammar.h"

namespace sluice {

// After n tokens whose hash is h, the ids t with mix(h ^ t) % one_of == 0 may come, none after
// max_length, and the answer may end where n >= min_length and h % 4 is 0, and after max_length.
struct FakeGrammarShape {
  int vocab_size = 0;
  uint64_t one_of = 10;
  int64_t min_length = 1;
  int64_t max_length = 30;
  bool ends = true;  // false: after max_length nothing may come, not even the end
  std::function<void(int64_t)> on_fill = {};  // called with n in fill; may throw
};

class FakeGrammar final : public Grammar {
 public:
  explicit FakeGrammar(FakeGrammarShape shape) : shape_(std::move(shape)) {}
  std::unique_ptr<GrammarWalk> walk() const override { return std::make_unique<Walk>(shape_); }

 private:
  class Walk final : public GrammarWalk {
   public:
    explicit Walk(const FakeGrammarShape& shape) : shape_(shape) {}

    bool accept(TokenId token) override {
      if (!may_come(token)) return false;
      hash_ = mix64(hash_ + static_cast<uint32_t>(token) + 1);
      ++length_;
      return true;
    }
    void fill(std::span<uint32_t> mask) override {
      if (shape_.on_fill) shape_.on_fill(length_);
      std::ranges::fill(mask, 0);
      for (TokenId id = 0; id < shape_.vocab_size; ++id) {
        if (may_come(id)) mask[static_cast<size_t>(id) / 32] |= uint32_t{1} << id % 32;
      }
    }
    bool complete() const override {
      if (length_ >= shape_.max_length) return shape_.ends;
      return length_ >= shape_.min_length && hash_ % 4 == 0;
    }

   private:
    bool may_come(TokenId id) const {
      return length_ < shape_.max_length &&
             mix64(hash_ ^ static_cast<uint32_t>(id)) % shape_.one_of == 0;
    }

    FakeGrammarShape shape_;
    uint64_t hash_ = 1;
    int64_t length_ = 0;
  };

  FakeGrammarShape shape_;
};

}  // namespace sluice
