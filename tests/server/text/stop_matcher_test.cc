#include "server/text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

struct Outcome {
  std::string text;
  std::string stop;
  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << '"' << outcome.text << "\" stopped by \"" << outcome.stop << '"';
}

Outcome run(const std::vector<std::string>& pieces, const std::vector<std::string>& stops,
            bool include_stop = false) {
  StopMatcher matcher(stops, include_stop);
  Outcome outcome;
  for (const std::string& piece : pieces) {
    if (matcher.push(piece, true, outcome.text)) {
      outcome.stop = matcher.matched();
      return outcome;
    }
  }
  matcher.finish(outcome.text);
  return outcome;
}

// The definition, on the whole text.
Outcome reference(const std::string& text, const std::vector<std::string>& stops,
                  bool include_stop) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops) {
      const bool ends_here = std::string_view(text).substr(0, end).ends_with(stop);
      if (ends_here && stop.size() > longest.size()) longest = stop;
    }
    if (!longest.empty()) {
      return {text.substr(0, include_stop ? end : end - longest.size()), longest};
    }
  }
  return {text, ""};
}

TEST(StopMatcher, FindsAStopAcrossPieces) {
  EXPECT_EQ(run({"one <", "/", "end", "> two"}, {"</end>"}), (Outcome{"one ", "</end>"}));
  EXPECT_EQ(run({"one <", "/", "end", "> two"}, {"</end>"}, true),
            (Outcome{"one </end>", "</end>"}));
}

TEST(StopMatcher, SendsWhatCannotBecomeAStopAtOnce) {
  StopMatcher matcher({"abc"}, false);
  std::string text;
  EXPECT_FALSE(matcher.push("xab", true, text));
  EXPECT_EQ(text, "x");
  EXPECT_FALSE(matcher.push("ab", true, text));
  EXPECT_EQ(text, "xab");
  matcher.finish(text);
  EXPECT_EQ(text, "xabab");
}

TEST(StopMatcher, TheStopThatEndsFirstWinsAndOfThoseTheLongest) {
  EXPECT_EQ(run({"abcd"}, {"abcd", "bc"}), (Outcome{"a", "bc"}));
  EXPECT_EQ(run({"xabc"}, {"c", "abc", "bc"}), (Outcome{"x", "abc"}));
}

TEST(StopMatcher, FindsOverlappingRepetitions) {
  EXPECT_EQ(run({"aab", "aab", "aaaab"}, {"aabaaa"}), (Outcome{"aab", "aabaaa"}));
}

TEST(StopMatcher, StopsOfSeveralBytesACodePoint) {
  EXPECT_EQ(run({"中文", "。", "没"}, {"。没"}), (Outcome{"中文", "。没"}));
  EXPECT_EQ(run({"中文", "。", "有"}, {"。没"}), (Outcome{"中文。有", ""}));
}

// min_tokens: what ends too early is text, and may still be the beginning of a later match.
TEST(StopMatcher, AStopThatDoesNotCountStaysTextAndMayBeginTheNext) {
  StopMatcher matcher({"aa"}, false);
  std::string text;
  EXPECT_FALSE(matcher.push("xaa", false, text));
  EXPECT_EQ(text, "xa");
  EXPECT_TRUE(matcher.push("a", true, text));
  EXPECT_EQ(text, "xa");
}

TEST(StopMatcher, AnyCutOfAnyTextGivesTheReference) {
  const unsigned seed = 31337;
  std::mt19937 random(seed);
  const std::vector<std::string> letters = {"a", "b", "é", "中", "🙂"};
  const auto word = [&](size_t max_letters) {
    std::string text;
    for (size_t n = 1 + random() % max_letters; n > 0; --n) {
      text += letters[random() % (2 + random() % 4)];
    }
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> pieces, stops;
    std::string whole;
    for (size_t n = random() % 12; n > 0; --n) whole += pieces.emplace_back(word(4));
    for (size_t n = random() % 5; n > 0; --n) stops.push_back(word(4));
    const bool include_stop = random() % 2 == 0;
    ASSERT_EQ(run(pieces, stops, include_stop), reference(whole, stops, include_stop))
        << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace sluice
