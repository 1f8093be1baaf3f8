// What every front of the server does alike: names of requests, names of the model.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/service.h"

namespace sluice {

inline constexpr size_t kMaxRequestIdBytes = 128;

// 128 random bits in hexadecimal.
std::string random_id();

// At most `limit` bytes of `text`, anything but visible ASCII replaced: fit for a header and the
// log.
std::string printable(std::string_view text, size_t limit);

// The id of a request: the client's, made printable, or a random one.
std::string request_id(std::string_view given);

// The name under which an answer speaks of the model: the client's, if it is one of ours; the first
// of ours where it names none. kNotFound for any other.
Result<std::string> served_name(const ModelInfo& model, const std::string& asked);

}  // namespace sluice
