// One row a field of generation_fields.cc: what its reader and the checks of the service accept.
//
// Null stands for absence wherever a field is optional. Ids are those of any model, so a small one
// refuses more; what depends on other fields, or on the prompt's length, no schema can say.
#include "server/openai/field_schemas.h"

#include <optional>

#include "server/openai/generation_fields.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

struct Row {
  std::string_view field;
  std::string_view schema;
  std::optional<Protocol> only{};  // else: of every protocol that has no row of its own
};

constexpr std::string_view kFlag = R"({"type":["boolean","null"]})";
constexpr std::string_view kText = R"({"type":["string","null"]})";
constexpr std::string_view kAnything = "{}";  // ignored, or checked by the chat template
constexpr std::string_view kId = R"({"type":["string","null"],"maxLength":256})";
constexpr std::string_view kTopCount = R"({"type":["integer","null"],"minimum":0,"maximum":20})";
constexpr std::string_view kLength = R"({"type":["integer","null"],"minimum":1,"maximum":1048576})";
constexpr std::string_view kGivenLength = R"({"type":"integer","minimum":1,"maximum":1048576})";
constexpr std::string_view kScoredLength =  // 0 with echo
    R"({"type":["integer","null"],"minimum":0,"maximum":1048576})";
constexpr std::string_view kPenalty = R"({"type":["number","null"],"minimum":-2,"maximum":2})";
constexpr std::string_view kIds =
    R"({"type":["array","null"],"maxItems":128,"items":{"type":"integer","minimum":0}})";
constexpr std::string_view kStops =
    R"({"anyOf":[{"type":"string","minLength":1,"maxLength":256},{"type":"null"},)"
    R"({"type":"array","maxItems":16,"items":{"type":"string","minLength":1,"maxLength":256}}]})";
constexpr std::string_view kMessages =
    R"({"type":"array","minItems":1,"maxItems":4096,"items":{"$ref":"#/components/schemas/Message"}})";
constexpr std::string_view kTurns =
    R"({"type":"array","minItems":1,"maxItems":4096,"items":{"$ref":"#/components/schemas/Turn"}})";

// Of the schemas that are enforced, and of grammars and expressions, a few plain ones: what else is
// accepted no schema can say.
constexpr std::string_view kSchema =
    R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],"properties":{)"
    R"("type":{"enum":["object","array","string","integer","number","boolean","null"]}},)"
    R"("propertyNames":{"enum":["type","title","description"]},)"
    R"("description":"a JSON schema; see docs/api.md for what is enforced"}]})";
constexpr std::string_view kRegex =
    R"({"type":["string","null"],"pattern":"^[a-z]{1,20}$","description":"a regular expression"})";
constexpr std::string_view kGrammar =
    R"({"type":["string","null"],"pattern":"^root ::= \"[a-z]{1,20}\"$","description":"GBNF"})";
constexpr std::string_view kChoice =
    R"({"anyOf":[{"type":"null"},{"type":"array","minItems":1,"maxItems":1000,)"
    R"("items":{"type":"string","pattern":"^[a-z]{1,20}$"}}]})";
constexpr std::string_view kStructuredOutputs =
    R"({"anyOf":[{"type":"null"},{"type":"object","maxProperties":1,"additionalProperties":false,)"
    R"("properties":{"json":{"type":"object","required":["type"],"properties":{"type":{"enum":)"
    R"(["object","array","string","integer","number","boolean","null"]}},)"
    R"("propertyNames":{"enum":["type","title","description"]}},)"
    R"("regex":{"type":"string","pattern":"^[a-z]{1,20}$"},)"
    R"("choice":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"string","pattern":"^[a-z]{1,20}$"}},)"
    R"("grammar":{"type":"string","pattern":"^root ::= \"[a-z]{1,20}\"$"},)"
    R"("json_object":{"type":"boolean"}}}]})";
constexpr std::string_view kResponseFormat =
    R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],)"
    R"("properties":{"type":{"enum":["text","json_object"]}}},)"
    R"({"type":"object","required":["type","json_schema"],"properties":{"type":{"const":"json_schema"},)"
    R"("json_schema":{"type":"object","required":["schema"],"properties":{"schema":{"type":"object",)"
    R"("required":["type"],"properties":{"type":{"enum":["object","array","string","integer",)"
    R"("number","boolean","null"]}},"propertyNames":{"enum":["type","title","description"]}}}}}}]})";
constexpr std::string_view kTextConfig =
    R"({"type":["object","null"],"properties":{"verbosity":{"type":"null"},"format":)"
    R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],)"
    R"("properties":{"type":{"enum":["text","json_object"]}}}]}}})";
constexpr std::string_view kOutputConfig =
    R"({"type":["object","null"],"properties":{"effort":{"type":"null"},"format":)"
    R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],)"
    R"("properties":{"type":{"enum":["text","json_object"]}}}]}}})";

constexpr Row kRows[] = {
    {"model", R"({"type":["string","null"],"description":"one of /v1/models; absent: the first"})"},
    {"messages", kMessages},
    {"messages", kTurns, Protocol::kMessages},
    {"system", R"({"anyOf":[{"$ref":"#/components/schemas/Content"},{"type":"null"}]})"},
    {"input", R"({"anyOf":[{"type":"string"},)"
              R"({"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Item"}}]})"},
    {"instructions", kText},
    {"prompt", R"({"anyOf":[{"type":"string"},{"$ref":"#/components/schemas/TokenIds"},)"
               R"({"type":"array","minItems":1,"maxItems":256,"items":{"anyOf":[)"
               R"({"type":"string"},{"$ref":"#/components/schemas/TokenIds"}]}}]})"},
    {"n", R"({"type":["integer","null"],"minimum":1,"maximum":128})"},
    {"best_of", R"({"type":["integer","null"],"minimum":1,"maximum":128,"description":"as n"})"},
    {"max_tokens", kLength},
    {"max_completion_tokens", kLength},
    {"max_output_tokens", kLength},
    {"max_tokens", kGivenLength, Protocol::kMessages},
    {"max_tokens", kScoredLength, Protocol::kText},
    {"temperature",
     R"({"type":["number","null"],"minimum":0,"maximum":100,"description":"0: greedy"})"},
    {"top_p", R"({"type":["number","null"],"exclusiveMinimum":0,"maximum":1})"},
    {"top_k", R"({"type":["integer","null"],"minimum":-1,"maximum":2147483647})"},
    {"min_p", R"({"type":["number","null"],"minimum":0,"maximum":1})"},
    {"presence_penalty", kPenalty},
    {"frequency_penalty", kPenalty},
    {"repetition_penalty", R"({"type":["number","null"],"minimum":0.01,"maximum":100})"},
    {"seed",
     R"({"type":["integer","null"],"minimum":-9007199254740991,"maximum":9007199254740991})"},
    {"stop", kStops},
    {"stop_sequences", kStops},
    {"logit_bias", R"({"type":["object","null"],"maxProperties":1024,"description":"by token id",)"
                   R"("propertyNames":{"pattern":"^[0-9]{1,9}$"},)"
                   R"("additionalProperties":{"type":"number","minimum":-100,"maximum":100}})"},
    {"stream", kFlag},
    {"stream_options", R"({"type":["object","null"],"description":"needs stream","properties":{)"
                       R"("include_usage":{"type":["boolean","null"]},)"
                       R"("continuous_usage_stats":{"type":["boolean","null"]}}})"},
    {"stream_options", kAnything, Protocol::kResponses},
    {"logprobs", kFlag},
    {"logprobs", kTopCount, Protocol::kText},
    {"top_logprobs", kTopCount},
    {"include", R"({"type":["array","null"],"items":{"type":"string"}})"},
    {"echo", kFlag},
    {"prompt_logprobs", kTopCount},
    {"response_format", kResponseFormat},
    {"text", kTextConfig},
    {"output_config", kOutputConfig},
    {"structured_outputs", kStructuredOutputs},
    {"guided_json", kSchema},
    {"guided_regex", kRegex},
    {"guided_choice", kChoice},
    {"guided_grammar", kGrammar},
    {"truncation", R"({"enum":["disabled",null]})"},
    {"store", R"({"enum":[false,null]})", Protocol::kResponses},
    {"previous_response_id", R"({"enum":["",null]})"},
    {"tools",
     R"({"type":["array","null"],"maxItems":128,"items":{"type":"object","required":["type","name"],)"
     R"("properties":{"type":{"const":"function"},"name":{"$ref":"#/components/schemas/ToolName"},)"
     R"("parameters":{"type":["object","null"]},"strict":{"type":["boolean","null"]}}}})",
     Protocol::kResponses},
    {"tool_choice",
     R"({"anyOf":[{"enum":["auto","none","required",null]},{"type":"object","required":["type",)"
     R"("name"],"properties":{"type":{"const":"function"},"name":{"type":"string","minLength":1}}}]})",
     Protocol::kResponses},
    {"tools",
     R"({"type":["array","null"],"maxItems":128,"items":{"type":"object","required":["name"],)"
     R"("properties":{"type":{"enum":["custom",null]},"name":{"$ref":"#/components/schemas/ToolName"},)"
     R"("input_schema":{"type":["object","null"]},"strict":{"type":["boolean","null"]}}}})",
     Protocol::kMessages},
    {"tool_choice",
     R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],"properties":{"type":{"enum":)"
     R"(["auto","any","none"]},"disable_parallel_tool_use":{"type":["boolean","null"]}}},)"
     R"({"type":"object","required":["type","name"],"properties":{"type":{"const":"tool"},)"
     R"("name":{"type":"string","minLength":1},"disable_parallel_tool_use":{"type":["boolean","null"]}}}]})",
     Protocol::kMessages},
    {"thinking", R"({"anyOf":[{"type":"null"},{"type":"object","required":["type"],)"
                 R"("properties":{"type":{"const":"disabled"}}}]})"},
    {"modalities",
     R"({"anyOf":[{"enum":["text",null]},{"type":"array","items":{"const":"text"}}]})"},
    {"tools", R"({"type":["array","null"],"maxItems":128,"items":{"type":"object",)"
              R"("required":["type","function"],"properties":{"type":{"const":"function"},)"
              R"("function":{"type":"object","required":["name"],"properties":{)"
              R"("name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,128}$"},)"
              R"("parameters":{"type":["object","null"]},"strict":{"type":["boolean","null"]}}}}},)"
              R"("description":"no two of one name"})"},
    {"tool_choice", R"({"anyOf":[{"enum":["auto","none","required",null]},{"type":"object",)"
                    R"("required":["type","function"],"properties":{"type":{"const":"function"},)"
                    R"("function":{"type":"object","required":["name"],)"
                    R"("properties":{"name":{"type":"string","minLength":1}}}}}],)"
                    R"("description":"one of the names in tools"})"},
    {"parallel_tool_calls", kFlag, Protocol::kChat},
    {"min_tokens", R"({"type":["integer","null"],"minimum":0,"description":"at most max_tokens"})"},
    {"ignore_eos", kFlag},
    {"stop_token_ids", kIds},
    {"allowed_token_ids", kIds},
    {"banned_token_ids", kIds},
    {"skip_special_tokens", kFlag},
    {"include_stop_str_in_output", kFlag},
    {"add_generation_prompt", kFlag},
    {"continue_final_message", kFlag},
    {"chat_template_kwargs", R"({"type":["object","null"]})"},
    {"add_special_tokens", kFlag},
    {"cache_salt", kId},
    {"priority", R"({"type":["integer","null"],"minimum":-2147483648,"maximum":2147483647})"},
    {"attention", R"({"anyOf":[{"enum":["dense",null]},{"type":"object","required":["mode"],)"
                  R"("properties":{"mode":{"const":"dense"}}}]})"},
    {"kv_cache", R"({"anyOf":[{"enum":["exact",null]},{"type":"object","required":["mode"],)"
                 R"("properties":{"mode":{"const":"exact"}}}]})"},
    {"user", kAnything},
    {"metadata", kAnything},
    {"store", kAnything},
    {"service_tier", kAnything},
    {"safety_identifier", kAnything},
    {"prompt_cache_key", kAnything},
    {"prompt_cache_options", kAnything},
    {"prompt_cache_retention", kAnything},
    {"prediction", kAnything},
    {"parallel_tool_calls", kFlag},
    {"request_id", kAnything},
    {"spaces_between_special_tokens", kAnything},
    {"cache_control", kAnything},
    {"inference_geo", kAnything},
    {"speed", kAnything},
};

// The members that a body must have, as a JSON array.
std::string_view required_fields(Protocol protocol) {
  switch (protocol) {
    case Protocol::kChat:
      return R"(["messages"])";
    case Protocol::kResponses:
      return R"(["input"])";
    case Protocol::kMessages:
      return R"(["messages","max_tokens"])";
    case Protocol::kText:
      break;
  }
  return R"(["prompt"])";
}

}  // namespace

std::string_view field_schema(std::string_view field, Protocol protocol) {
  std::string_view schema;
  for (const Row& row : kRows) {
    if (row.field != field) continue;
    if (row.only == protocol) return row.schema;
    if (!row.only) schema = row.schema;
  }
  return schema;
}

std::string request_schema(Protocol protocol) {
  std::string out = R"({"type":"object","required":)";
  out.append(required_fields(protocol)).append(R"(,"properties":{)");
  bool first = true;
  for (const std::string_view field : understood_fields(protocol)) {
    if (!first) out += ',';
    first = false;
    append_json_string(&out, field);
    out.append(":").append(field_schema(field, protocol));
  }
  return out += "}}";
}

}  // namespace sluice
