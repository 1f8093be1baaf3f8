// The OpenAPI document: whole, resolvable, and of every field that the parsers know.
#include "server/http/openapi.h"

#include <gtest/gtest.h>

#include <string>

#include "server/openai/field_schemas.h"
#include "server/openai/generation_fields.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

// Collects what every "$ref" of `value` names.
void collect_references(const JsonValue& value, std::vector<std::string>* out) {
  if (const JsonValue::Array* array = value.as_array()) {
    for (const JsonValue& element : *array) collect_references(element, out);
  }
  const JsonValue::Object* object = value.as_object();
  if (object == nullptr) return;
  for (const auto& [name, member] : *object) {
    if (name == "$ref") out->push_back(*member.as_string());
    collect_references(member, out);
  }
}

TEST(OpenApi, EveryUnderstoodFieldHasASchema) {
  for (const Protocol protocol :
       {Protocol::kChat, Protocol::kText, Protocol::kResponses, Protocol::kMessages}) {
    for (const std::string_view field : understood_fields(protocol)) {
      const std::string_view schema = field_schema(field, protocol);
      EXPECT_FALSE(schema.empty()) << field << ": add it to field_schemas.cc";
      EXPECT_TRUE(JsonValue::parse(schema).ok()) << field << ": " << schema;
    }
  }
  EXPECT_EQ(field_schema("no_such_field", Protocol::kChat), "");
}

TEST(OpenApi, DescribesTheRoutesAndNamesOnlySchemasThatItHas) {
  const std::vector<RouteInfo> routes = {{"POST", "/v1/messages", "Talk", "MessagesRequest",
                                          "MessageAnswer", false, Protocol::kMessages},
                                         {"GET", "/x/{id}", "One", "", "Model"},
                                         {"GET", "/ping", "Up?", "", "Health", true},
                                         {"POST", "/ping", "Up?", "", "Health", true}};
  const Result<JsonValue> parsed = JsonValue::parse(openapi_document(routes));
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const JsonValue& document = parsed.value();
  const JsonValue& paths = *document.find("paths");
  EXPECT_EQ(paths.as_object()->size(), 3U);
  EXPECT_EQ(paths.find("/ping")->as_object()->size(), 2U);
  EXPECT_EQ(paths.find("/x/{id}")->find("get")->find("parameters")->as_array()->size(), 1U);
  EXPECT_TRUE(paths.find("/ping")->find("get")->find("security")->as_array()->empty());
  EXPECT_EQ(paths.find("/x/{id}")->find("get")->find("security"), nullptr);
  std::vector<std::string> references;
  collect_references(document, &references);
  const JsonValue& schemas = *document.find("components")->find("schemas");
  for (const std::string& reference : references) {
    EXPECT_NE(schemas.find(reference.substr(reference.rfind('/') + 1)), nullptr) << reference;
  }
  EXPECT_GT(references.size(), 30U);
}

}  // namespace
}  // namespace sluice
