// The protocols in which a client may ask for a generation.
#pragma once

namespace sluice {

enum class Protocol {
  kChat,       // OpenAI's /v1/chat/completions
  kText,       // OpenAI's /v1/completions
  kResponses,  // OpenAI's /v1/responses
  kMessages,   // Anthropic's /v1/messages
};

}  // namespace sluice
