// The routes about tokens: in, out, and how many.
#include "server/front.h"
#include "server/http/api_handler.h"
#include "server/text/json_text.h"

namespace sluice {

HttpReply ApiHandler::count_tokens(const HttpRequest& request, Record&) {
  const auto refused = [](const Status& why) { return error_response(why, Protocol::kMessages); };
  const Result<TokenizeRequest> parsed = parse_count_request(request.body);
  if (!parsed.ok()) return refused(parsed.status());
  const Result<std::string> name = served_name(service_.model(), parsed->model);
  if (!name.ok()) return refused(name.status());
  const Result<std::vector<TokenId>> tokens = service_.tokenize(parsed->call);
  if (!tokens.ok()) return refused(tokens.status());
  std::string out = R"({"input_tokens":)";
  append_json(&out, static_cast<int64_t>(tokens->size()));
  return json_response(out += '}');
}

HttpReply ApiHandler::tokenize(const HttpRequest& request, Record&) {
  Result<TokenizeRequest> parsed = parse_tokenize_request(request.body);
  if (!parsed.ok()) return error_response(parsed.status());
  if (Result<std::string> name = served_name(service_.model(), parsed->model); !name.ok()) {
    return error_response(name.status());
  }
  Result<std::vector<TokenId>> tokens = service_.tokenize(parsed->call);
  if (!tokens.ok()) return error_response(tokens.status());
  std::string out = R"({"count":)";
  append_json(&out, static_cast<int64_t>(tokens->size()));
  out += R"(,"max_model_len":)";
  append_json(&out, service_.model().max_model_len);
  out += R"(,"tokens":[)";
  for (size_t i = 0; i < tokens->size(); ++i) {
    if (i > 0) out += ',';
    append_json(&out, int64_t{tokens.value()[i]});
  }
  out += R"(],"token_strs":)";
  if (!parsed->return_token_strs) {
    out += "null}";
    return json_response(std::move(out));
  }
  for (size_t i = 0; i < tokens->size(); ++i) {
    out += i == 0 ? '[' : ',';
    append_json_string(&out, service_.token_spelling(tokens.value()[i]));
  }
  out += tokens->empty() ? "[]}" : "]}";
  return json_response(std::move(out));
}

HttpReply ApiHandler::detokenize(const HttpRequest& request, Record&) {
  Result<DetokenizeRequest> parsed = parse_detokenize_request(request.body);
  if (!parsed.ok()) return error_response(parsed.status());
  if (Result<std::string> name = served_name(service_.model(), parsed->model); !name.ok()) {
    return error_response(name.status());
  }
  Result<std::string> text = service_.detokenize(parsed->tokens);
  if (!text.ok()) return error_response(text.status());
  std::string out = R"({"prompt":)";
  append_json_string(&out, text.value());
  out += '}';
  return json_response(std::move(out));
}

}  // namespace sluice
