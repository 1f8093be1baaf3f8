// Vocabulary: texts to ids.
#include <array>
#include <cstdio>

#include "server/text/hf/subword_model.h"

namespace sluice {

void Vocabulary::index() {
  ids.clear();
  ids.reserve(texts.size());
  for (size_t id = 0; id < texts.size(); ++id) {
    if (!texts[id].empty()) ids.insert_or_assign(texts[id], static_cast<TokenId>(id));
  }
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto found = ids.find(text);
  if (found == ids.end()) return std::nullopt;
  return found->second;
}

std::vector<TokenId> Vocabulary::byte_tokens() const {
  std::vector<TokenId> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> spelling{};
    std::snprintf(spelling.data(), spelling.size(), "<0x%02X>", byte);
    const auto id = find(spelling.data());
    if (!id) return {};
    tokens.push_back(*id);
  }
  return tokens;
}

}  // namespace sluice
