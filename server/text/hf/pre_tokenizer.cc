// Cutting text at patterns, and the two habits that change it on the way.
#include "server/text/hf/pre_tokenizer.h"

#include <algorithm>
#include <memory>

#include "server/text/hf/normalizer.h"

namespace sluice {
namespace {

struct Part {
  Span span;
  bool is_match;
};

// Matches and the text between them, in order, as the behaviour joins them.
class Splitter {
 public:
  Splitter(SplitBehavior behavior, bool invert) : behavior_(behavior), invert_(invert) {}

  // The parts of a piece of `size` bytes that has these matches; valid up to the next call.
  const std::vector<Part>& parts(const std::vector<Span>& matches, size_t size) {
    parts_.clear();
    size_t at = 0;
    for (const Span& match : matches) {
      if (match.begin > at) parts_.push_back({{at, match.begin}, invert_});
      parts_.push_back({match, !invert_});
      at = match.end;
    }
    if (at < size) parts_.push_back({{at, size}, invert_});
    join();
    return parts_;
  }

 private:
  void join() {
    switch (behavior_) {
      case SplitBehavior::kIsolated:
        return;
      case SplitBehavior::kRemoved:
        std::erase_if(parts_, [](const Part& part) { return part.is_match; });
        return;
      case SplitBehavior::kContiguous:
        return join_where([](bool before, bool is_match) { return before == is_match; });
      case SplitBehavior::kMergedWithPrevious:
        return join_where([](bool before, bool is_match) { return is_match && !before; });
      case SplitBehavior::kMergedWithNext:
        std::reverse(parts_.begin(), parts_.end());
        join_where([](bool before, bool is_match) { return is_match && !before; });
        std::reverse(parts_.begin(), parts_.end());
        return;
    }
  }

  // Joins a part to the one before it where `joins` says so of the two.
  template <typename Joins>
  void join_where(const Joins& joins) {
    size_t kept = 0;
    bool before = false;
    for (const Part& part : std::vector<Part>(parts_)) {
      if (kept > 0 && joins(before, part.is_match)) {
        Span& last = parts_[kept - 1].span;
        last = {std::min(last.begin, part.span.begin), std::max(last.end, part.span.end)};
      } else {
        parts_[kept++] = part;
      }
      before = part.is_match;
    }
    parts_.resize(kept);
  }

  SplitBehavior behavior_;
  bool invert_;
  std::vector<Part> parts_;
};

// Cuts each piece by the matches that `find_all` appends for it.
template <typename FindAll>
void split(Pieces& pieces, SplitBehavior behavior, bool invert, const FindAll& find_all) {
  Splitter splitter(behavior, invert);
  Pieces cut;
  cut.at_start = pieces.at_start;
  cut.text.reserve(pieces.text.size());
  cut.ends.reserve(pieces.ends.size());
  std::vector<Span> matches;
  size_t begin = 0;
  for (const size_t end : pieces.ends) {
    const std::string_view piece = std::string_view(pieces.text).substr(begin, end - begin);
    matches.clear();
    find_all(piece, matches);
    const std::vector<Part>& parts = splitter.parts(matches, piece.size());
    if (begin == 0 && !parts.empty() && parts[0].span.begin > 0) cut.at_start = false;
    for (const Part& part : parts) {
      cut.text += piece.substr(part.span.begin, part.span.end - part.span.begin);
      cut.ends.push_back(cut.text.size());
    }
    begin = end;
  }
  pieces = std::move(cut);
}

// Rebuilds the pieces from what `change` makes of each; first: it begins the prompt.
template <typename Change>
void map_pieces(Pieces& pieces, const Change& change) {
  Pieces changed;
  changed.at_start = pieces.at_start;
  size_t begin = 0;
  for (const size_t end : pieces.ends) {
    change(std::string_view(pieces.text).substr(begin, end - begin),
           /*first=*/begin == 0 && pieces.at_start, changed.text);
    changed.ends.push_back(changed.text.size());
    begin = end;
  }
  pieces = std::move(changed);
}

void find_literal(std::string_view text, std::string_view literal, std::vector<Span>& matches) {
  for (size_t at = text.find(literal); at != std::string_view::npos;
       at = text.find(literal, at + literal.size())) {
    matches.push_back({at, at + literal.size()});
  }
}

}  // namespace

Pieces PreTokenizer::apply(std::string text, bool at_start) const {
  Pieces pieces{std::move(text), {}, at_start};
  if (pieces.text.empty()) return pieces;
  pieces.ends.push_back(pieces.text.size());
  for (const PreTokenizerStep& step : steps_) step(pieces);
  return pieces;
}

PreTokenizerStep split_step(Regex pattern, SplitBehavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](Pieces& pieces) {
    const Regex::Matcher matcher(pattern);
    split(pieces, behavior, invert, [&](std::string_view piece, std::vector<Span>& matches) {
      matcher.find_all(piece, matches);
    });
  };
}

PreTokenizerStep split_step(std::string literal, SplitBehavior behavior, bool invert) {
  return [literal = std::move(literal), behavior, invert](Pieces& pieces) {
    split(pieces, behavior, invert, [&](std::string_view piece, std::vector<Span>& matches) {
      find_literal(piece, literal, matches);
    });
  };
}

PreTokenizerStep prefix_space_step() {
  return [](Pieces& pieces) {
    map_pieces(pieces, [](std::string_view piece, bool, std::string& out) {
      if (!piece.starts_with(' ')) out += ' ';
      out += piece;
    });
  };
}

PreTokenizerStep metaspace_step(std::string replacement, PrependScheme scheme, bool split_there) {
  return [replacement = std::move(replacement), scheme, split_there](Pieces& pieces) {
    map_pieces(pieces, [&](std::string_view piece, bool first, std::string& out) {
      const std::string replaced = replace_all(piece, " ", replacement);
      const bool wanted =
          scheme == PrependScheme::kAlways || (scheme == PrependScheme::kFirst && first);
      if (wanted && !replaced.starts_with(replacement)) out += replacement;
      out += replaced;
    });
    if (!split_there) return;
    split(pieces, SplitBehavior::kMergedWithNext, false,
          [&](std::string_view piece, std::vector<Span>& matches) {
            find_literal(piece, replacement, matches);
          });
  };
}

}  // namespace sluice
