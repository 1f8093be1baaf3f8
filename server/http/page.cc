// Content-Security-Policy of pages.
#include "server/http/page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>
#include <string>

#include "base/text.h"

namespace sluice {
namespace {

// "'sha256-BASE64'" for each `element` of the page, of what stands between its tags.
std::string hashes_of(std::string_view page, std::string_view element) {
  std::string out;
  const std::string open = str("<", element, ">");
  const std::string close = str("</", element, ">");
  for (size_t at = page.find(open); at != std::string_view::npos; at = page.find(open, at + 1)) {
    const size_t begin = at + open.size();
    const std::string_view text = page.substr(begin, page.find(close, begin) - begin);
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::array<unsigned char, 2 * SHA256_DIGEST_LENGTH> base64{};
    const int length = EVP_EncodeBlock(base64.data(), digest.data(), digest.size());
    out += " 'sha256-";
    out.append(base64.begin(), base64.begin() + length);
    out += "'";
  }
  return out;
}

}  // namespace

HttpResponse page_response(std::string_view page) {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.headers = {{"Content-Security-Policy",
                       str("default-src 'none'; connect-src 'self'; img-src data:; script-src",
                           hashes_of(page, "script"), "; style-src", hashes_of(page, "style"),
                           "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")},
                      {"Cache-Control", "no-cache"},
                      {"Referrer-Policy", "no-referrer"},
                      {"X-Content-Type-Options", "nosniff"}};
  response.body = page;
  return response;
}

}  // namespace sluice
