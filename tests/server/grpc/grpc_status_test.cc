// Status codes and the details in google.rpc's wire format.
#include "server/grpc/grpc_status.h"

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

// Field number `index` of a message whose type is not compiled in: its bytes, or its number.
std::string field(const std::string& message, int index) {
  google::protobuf::UnknownFieldSet fields;
  if (!fields.ParseFromString(message) || index > fields.field_count()) return "no such field";
  const google::protobuf::UnknownField& found = fields.field(index - 1);
  return found.type() == google::protobuf::UnknownField::TYPE_VARINT
             ? std::to_string(found.varint())
             : found.length_delimited();
}

TEST(GrpcStatus, EveryFailureHasACode) {
  for (int code = 1; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    const Status ours(static_cast<StatusCode>(code), "why");
    const grpc::Status theirs = to_grpc(ours);
    EXPECT_FALSE(theirs.ok());
    EXPECT_EQ(theirs.error_message(), "why");
    EXPECT_STRNE(code_name(ours.code()), "OK");
  }
  EXPECT_TRUE(to_grpc({}).ok());
  EXPECT_EQ(to_grpc({StatusCode::kTooLong, ""}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(GrpcStatus, AFullQueueSaysWhenToComeBack) {
  const std::string status = to_grpc({StatusCode::kResourceExhausted, "full"}).error_details();
  EXPECT_EQ(field(status, 1), "8");
  EXPECT_EQ(field(status, 2), "full");
  const std::string any = field(status, 3);
  EXPECT_EQ(field(any, 1), "type.googleapis.com/google.rpc.RetryInfo");
  EXPECT_EQ(field(field(field(any, 2), 1), 1), "1");  // seconds
}

TEST(GrpcStatus, AWrongFieldIsNamed) {
  const std::string any = field(to_grpc(invalid_argument("n is 0", "n")).error_details(), 3);
  EXPECT_EQ(field(any, 1), "type.googleapis.com/google.rpc.BadRequest");
  const std::string violation = field(field(any, 2), 1);
  EXPECT_EQ(field(violation, 1), "n");
  EXPECT_EQ(field(violation, 2), "n is 0");
  EXPECT_TRUE(to_grpc(invalid_argument("no field")).error_details().empty());
}

}  // namespace
}  // namespace sluice
