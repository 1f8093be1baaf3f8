// Writing of the document.
#include "server/http/openapi.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "server/openai/field_schemas.h"
#include "server/text/json_text.h"
#include "server/version.h"

namespace sluice {
namespace {

constexpr std::string_view kReference = R"({"$ref":"#/components/schemas/)";

// Schemas of parts of requests and of answers. Those of generation requests are written from the
// table of fields.
constexpr std::string_view kSchemas = R"json(
"Content":{"anyOf":[{"type":"string"},{"type":"array","items":{"$ref":"#/components/schemas/Part"}}]},
"Part":{"type":"object","required":["type","text"],"properties":{
  "type":{"enum":["text","input_text","output_text"]},"text":{"type":"string"}}},
"Message":{"type":"object","required":["role","content"],"properties":{
  "role":{"type":"string","not":{"const":"function"},"description":"system, user, assistant, tool: what the chat template knows"},
  "content":{"$ref":"#/components/schemas/Content"},"name":{"type":["string","null"]}}},
"ToolName":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,128}$"},
"Turn":{"anyOf":[{"type":"object","required":["role","content"],"properties":{
    "role":{"enum":["user","assistant","system"]},"content":{"$ref":"#/components/schemas/Content"}}},
  {"type":"object","required":["role","content"],"properties":{"role":{"const":"user"},"content":{"type":"array","items":
    {"anyOf":[{"$ref":"#/components/schemas/Part"},{"$ref":"#/components/schemas/ToolResult"}]}}}},
  {"type":"object","required":["role","content"],"properties":{"role":{"const":"assistant"},"content":{"type":"array","items":
    {"anyOf":[{"$ref":"#/components/schemas/Part"},{"$ref":"#/components/schemas/ToolUse"},{"$ref":"#/components/schemas/Thinking"}]}}}}]},
"ToolResult":{"type":"object","required":["type","tool_use_id"],"properties":{"type":{"const":"tool_result"},
  "tool_use_id":{"type":"string"},"content":{"anyOf":[{"$ref":"#/components/schemas/Content"},{"type":"null"}]}}},
"ToolUse":{"type":"object","required":["type","id","name","input"],"properties":{"type":{"const":"tool_use"},
  "id":{"type":"string"},"name":{"type":"string"},"input":{"type":"object"}}},
"Thinking":{"type":"object","required":["type"],"properties":{"type":{"enum":["thinking","redacted_thinking"]}}},
"Item":{"anyOf":[{"type":"object","required":["role","content"],"properties":{"type":{"enum":["message",null]},
    "role":{"type":"string","not":{"const":"function"}},"content":{"$ref":"#/components/schemas/Content"}}},
  {"type":"object","required":["type","call_id","name","arguments"],"properties":{"type":{"const":"function_call"},
    "call_id":{"type":"string"},"name":{"type":"string"},"arguments":{"type":"string","description":"a JSON object, as text"}}},
  {"type":"object","required":["type","call_id","output"],"properties":{"type":{"const":"function_call_output"},
    "call_id":{"type":"string"},"output":{"$ref":"#/components/schemas/Content"}}},
  {"type":"object","required":["type"],"properties":{"type":{"const":"reasoning"}}}]},
"TokenIds":{"type":"array","minItems":1,"items":{"type":"integer","minimum":0,"maximum":2147483647}},
"CountRequest":{"type":"object","required":["messages"],"properties":{"model":{"type":["string","null"]},
  "messages":{"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Turn"}},
  "system":{"anyOf":[{"$ref":"#/components/schemas/Content"},{"type":"null"}]}}},
"TokenizeRequest":{"anyOf":[
  {"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"},"messages":{"type":"null"},
    "model":{"type":["string","null"]},"add_special_tokens":{"type":["boolean","null"]},"return_token_strs":{"type":["boolean","null"]}}},
  {"type":"object","required":["messages"],"properties":{"messages":{"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Message"}},
    "model":{"type":["string","null"]},"add_generation_prompt":{"type":["boolean","null"]},"return_token_strs":{"type":["boolean","null"]}}}]},
"DetokenizeRequest":{"type":"object","required":["tokens"],"properties":{"model":{"type":["string","null"]},
  "tokens":{"type":"array","items":{"type":"integer","minimum":0,"maximum":2147483647}}}},
"Usage":{"type":"object","required":["prompt_tokens","completion_tokens","total_tokens"],"properties":{
  "prompt_tokens":{"type":"integer"},"completion_tokens":{"type":"integer"},"total_tokens":{"type":"integer"},
  "prompt_tokens_details":{"type":"object","properties":{"cached_tokens":{"type":"integer"}}}}},
"FinishReason":{"enum":["stop","length","tool_calls"]},
"Chat":{"type":"object","required":["id","object","created","model","choices","usage"],"properties":{
  "id":{"type":"string"},"object":{"const":"chat.completion"},"created":{"type":"integer"},"model":{"type":"string"},
  "usage":{"$ref":"#/components/schemas/Usage"},"choices":{"type":"array","items":{"type":"object",
    "required":["index","message","finish_reason"],"properties":{"index":{"type":"integer"},
      "message":{"type":"object","required":["role","content"],"properties":{"role":{"const":"assistant"},"content":{"type":["string","null"]},
        "reasoning_content":{"type":"string"},"tool_calls":{"type":"array","items":{"type":"object","required":["id","type","function"]}}}},
      "logprobs":{"type":["object","null"]},"finish_reason":{"$ref":"#/components/schemas/FinishReason"}}}}}},
"Completion":{"type":"object","required":["id","object","created","model","choices","usage"],"properties":{
  "id":{"type":"string"},"object":{"const":"text_completion"},"created":{"type":"integer"},"model":{"type":"string"},
  "usage":{"$ref":"#/components/schemas/Usage"},"choices":{"type":"array","items":{"type":"object",
    "required":["index","text","finish_reason"],"properties":{"index":{"type":"integer"},"text":{"type":"string"},
      "logprobs":{"type":["object","null"]},"finish_reason":{"$ref":"#/components/schemas/FinishReason"}}}}}},
"Response":{"type":"object","required":["id","object","created_at","model","status","output","usage"],"properties":{
  "id":{"type":"string"},"object":{"const":"response"},"created_at":{"type":"integer"},"model":{"type":"string"},
  "status":{"enum":["completed","incomplete"]},"output":{"type":"array","items":{"type":"object"}},
  "usage":{"type":"object","required":["input_tokens","output_tokens","total_tokens"]}}},
"MessageAnswer":{"type":"object","required":["id","type","role","model","content","stop_reason","usage"],"properties":{
  "id":{"type":"string"},"type":{"const":"message"},"role":{"const":"assistant"},"model":{"type":"string"},
  "content":{"type":"array","items":{"type":"object","required":["type"]}},
  "stop_reason":{"enum":["end_turn","max_tokens","stop_sequence","tool_use"]},"stop_sequence":{"type":["string","null"]},
  "usage":{"type":"object","required":["input_tokens","output_tokens"]}}},
"TokenCount":{"type":"object","required":["input_tokens"],"properties":{"input_tokens":{"type":"integer"}}},
"Model":{"type":"object","required":["id","object","created","owned_by"],"properties":{"id":{"type":"string"},
  "object":{"const":"model"},"created":{"type":"integer"},"owned_by":{"type":"string"},"max_model_len":{"type":"integer"}}},
"ModelList":{"type":"object","required":["object","data"],"properties":{"object":{"const":"list"},
  "data":{"type":"array","items":{"$ref":"#/components/schemas/Model"}}}},
"Tokens":{"type":"object","required":["tokens","count","max_model_len"],"properties":{"count":{"type":"integer"},
  "max_model_len":{"type":"integer"},"tokens":{"type":"array","items":{"type":"integer"}},
  "token_strs":{"type":["array","null"],"items":{"type":"string"}}}},
"Text":{"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"}}},
"Health":{"type":"object","required":["status"],"properties":{"status":{"enum":["live","ready","loading","draining","stalled"]}}},
"Version":{"type":"object","required":["version","commit"],"properties":{"version":{"type":"string"},"commit":{"type":"string"}}},
"Document":{"type":"object","required":["openapi","info","paths"]},
"Error":{"type":"object","required":["error"],"properties":{"error":{"type":"object","required":["message","type","param","code"],
  "properties":{"message":{"type":"string"},"type":{"type":"string"},"param":{"type":["string","null"]},"code":{"type":["string","null"]}}}}},
"AnthropicError":{"type":"object","required":["type","error"],"properties":{"type":{"const":"error"},
  "error":{"type":"object","required":["type","message"],"properties":{"type":{"type":"string"},"message":{"type":"string"}}}}}
)json";

bool is_media_type(std::string_view answer) { return answer.find('/') != std::string_view::npos; }

std::string content(std::string_view media_type, std::string_view schema) {
  return str('"', media_type, R"(":{"schema":)", schema, "}");
}

std::string reference(std::string_view schema) { return str(kReference, schema, "\"}"); }

std::string answer_of(std::string_view description, std::string_view contents) {
  std::string out = R"({"description":)";
  append_json_string(&out, description);
  return out.append(R"(,"content":{)").append(contents).append("}}");
}

std::string failure(const RouteInfo& route, std::string_view description) {
  const bool anthropic = route.protocol == Protocol::kMessages;
  return answer_of(description,
                   content("application/json", reference(anthropic ? "AnthropicError" : "Error")));
}

// "get /v1/models/{id}" -> "get_v1_models_id"
std::string operation_id(const RouteInfo& route) {
  std::string out;
  for (const char c : str(route.method, route.path)) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) out.push_back(static_cast<char>(std::tolower(byte)));
    if (c == '/' && out.size() > 1 && out.back() != '_') out.push_back('_');
  }
  if (out.back() == '_') out.pop_back();
  return out;
}

// Clients may ask for these as streams of events.
bool may_stream(const RouteInfo& route) {
  return route.request.ends_with("Request") && route.path.starts_with("/v1/") &&
         !route.path.ends_with("/count_tokens");
}

std::string responses(const RouteInfo& route) {
  std::string contents = is_media_type(route.response)
                             ? content(route.response, R"({"type":"string"})")
                             : content("application/json", reference(route.response));
  if (may_stream(route)) {
    contents += R"(,"text/event-stream":{})";
  }
  std::string out = str(R"("responses":{"200":)", answer_of("done", contents));
  if (!route.request.empty()) {
    out += str(R"(,"400":)", failure(route, "a field is wrong or not supported"));
    out += str(R"(,"404":)", failure(route, "no such model"));
    out += str(R"(,"429":)", failure(route, "the queue is full"));
  }
  if (route.path.find("{id}") != std::string_view::npos) {
    out += str(R"(,"404":)", failure(route, "no such model"));
  }
  if (!route.open) out += str(R"(,"401":)", failure(route, "a key is needed"));
  out += str(R"(,"4XX":)", failure(route, "refused for its form"));
  const bool health = route.response == "Health";
  out += str(R"(,"5XX":)",
             health ? answer_of("not ready", content("application/json", reference("Health")))
                    : failure(route, "loading, draining, too slow, or a bug"));
  return out += "}";
}

std::string operation(const RouteInfo& route) {
  std::string out = str(R"({"operationId":")", operation_id(route), R"(","summary":)");
  append_json_string(&out, route.summary);
  out += route.open ? R"(,"security":[])" : "";
  if (route.path.find("{id}") != std::string_view::npos) {
    out += R"(,"parameters":[{"name":"id","in":"path","required":true,)"
           R"("schema":{"type":"string","minLength":1}}])";
  }
  if (!route.request.empty()) {
    out += str(R"(,"requestBody":{"required":true,"content":{)",
               content("application/json", reference(route.request)), "}}");
  }
  return out.append(",").append(responses(route)).append("}");
}

std::string lower(std::string_view method) {
  std::string out(method);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::string openapi_document(const std::vector<RouteInfo>& routes) {
  std::string out = R"({"openapi":"3.1.0","info":{"title":"Sluice","version":)";
  append_json_string(&out, version());
  // No key is needed where the server has none.
  out += R"(},"security":[{},{"key":[]}],"paths":{)";
  std::vector<std::string_view> written;
  for (const RouteInfo& route : routes) {
    if (std::find(written.begin(), written.end(), route.path) != written.end()) continue;
    out += str(written.empty() ? "" : ",", '"', route.path, "\":{");
    written.push_back(route.path);
    bool first = true;
    for (const RouteInfo& other : routes) {
      if (other.path != route.path) continue;
      out += str(first ? "" : ",", '"', lower(other.method), "\":", operation(other));
      first = false;
    }
    out += "}";
  }
  out +=
      R"(},"components":{"securitySchemes":{"key":{"type":"http","scheme":"bearer"}},"schemas":{)";
  out += str(R"("ChatRequest":)", request_schema(Protocol::kChat));
  out += str(R"(,"CompletionRequest":)", request_schema(Protocol::kText));
  out += str(R"(,"ResponsesRequest":)", request_schema(Protocol::kResponses));
  out += str(R"(,"MessagesRequest":)", request_schema(Protocol::kMessages));
  return out.append(",").append(kSchemas).append("}}}");
}

}  // namespace sluice
