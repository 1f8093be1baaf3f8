// What a GrammarSpec must be before it is compiled: small enough, and made of what is enforced.
#pragma once

#include <cstddef>

#include "base/status.h"
#include "server/grammar/grammar_spec.h"

namespace sluice {

// Compiling cannot be interrupted, and takes seconds for what is larger.
inline constexpr size_t kMaxGrammarBytes = size_t{64} << 10;  // of the text, or of all choices
inline constexpr size_t kMaxRegexBytes = size_t{8} << 10;
inline constexpr size_t kMaxChoiceTexts = 1000;
inline constexpr size_t kMaxEnumValues = 1000;  // of a schema, in all its enums
inline constexpr size_t kMaxSchemas = 2000;     // of a schema, itself and those inside
inline constexpr size_t kMaxRegexDepth = 64;    // groups in groups

// kInvalidArgument says, in our own words, what of a JSON schema would not be enforced: a keyword,
// or one beside another. Words that JSON Schema does not know are notes, as its standard has it.
Status check_grammar_spec(const GrammarSpec& spec);

}  // namespace sluice
