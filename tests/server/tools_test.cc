// Tools: what is wrong with them is said before anything is computed.
#include "server/tools.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace sluice {
namespace {

GenerateCall offering(std::string_view tools) {
  GenerateCall call;
  call.tools = std::make_shared<const JsonValue>(JsonValue::parse(tools).value());
  return call;
}

// The field of the refusal, or "".
std::string refused_field(std::string_view tools) {
  return check_tools(offering(tools), /*max_tools=*/2).field();
}

TEST(Tools, AreFunctionsWithNamesOfTheirOwn) {
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"a.b-c_1"}}])"), "");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"f","parameters":null,
                              "strict":true}}])"),
            "");
  EXPECT_EQ(refused_field("{}"), "tools");
  EXPECT_EQ(refused_field("[1,2,3]"), "tools");
  EXPECT_EQ(refused_field("[1]"), "tools[0].type");
  EXPECT_EQ(refused_field(R"([{"type":"web_search"}])"), "tools[0].type");
  EXPECT_EQ(refused_field(R"([{"type":"function"}])"), "tools[0].function");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{}}])"), "tools[0].function.name");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":""}}])"),
            "tools[0].function.name");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"a b"}}])"),
            "tools[0].function.name");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"f","parameters":[]}}])"),
            "tools[0].function.parameters");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"f","strict":1}}])"),
            "tools[0].function.strict");
  EXPECT_EQ(refused_field(R"([{"type":"function","function":{"name":"f"}},
                              {"type":"function","function":{"name":"f"}}])"),
            "tools[1].function.name");
}

TEST(Tools, ARequiredOneMustBeOffered) {
  GenerateCall call = offering(R"([{"type":"function","function":{"name":"f"}}])");
  call.tool_choice = ToolChoice::kRequired;
  call.required_tool = std::string("g");
  EXPECT_NE(check_tools(call, 2).message().find("none of the names in tools"), std::string::npos);
  call.tools = nullptr;
  call.required_tool.clear();
  EXPECT_NE(check_tools(call, 2).message().find("no tools are offered"), std::string::npos);
}

TEST(Tools, AreKnownByName) {
  const GenerateCall call = offering(R"([{"type":"function","function":{"name":"f"}},
                                         {"type":"function","function":{"name":"g"}}])");
  EXPECT_EQ(tool_names(*call.tools), (std::vector<std::string>{"f", "g"}));
}

}  // namespace
}  // namespace sluice
