// The OpenAPI document: written from the routes that there are and the fields that parsers know.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/openai/protocol.h"

namespace sluice {

// What a route is to its clients.
struct RouteInfo {
  std::string_view method;
  std::string_view path;  // one segment may be {id}
  std::string_view summary;
  std::string_view request{};           // the schema of its JSON body; empty: none
  std::string_view response{};          // the schema of its answer, or its media type
  bool open = false;                    // also without a key
  Protocol protocol = Protocol::kChat;  // in whose words it fails
};

// OpenAPI 3.1. Every schema that `routes` name must be one of openapi.cc.
std::string openapi_document(const std::vector<RouteInfo>& routes);

}  // namespace sluice
