// The built-in pages: HTML files that are bytes of the binary.
//
// They are public, also where keys are needed: they hold nothing of the server, and whatever they
// show comes from routes that ask for a key.
#pragma once

#include <string_view>

#include "server/http/http_handler.h"

namespace sluice {

// pages/home.html: a conversation, and the server's numbers.
std::string_view home_page();
// pages/docs.html: /openapi.json, to be read.
std::string_view docs_page();

// Serves a page. Its policy allows the scripts and styles that it holds itself, by their hashes,
// and requests to this server; nothing else may be loaded, run, framed or posted to.
HttpResponse page_response(std::string_view page);

}  // namespace sluice
