// The table of statuses, and google.rpc's error details in the wire format. Their .proto files are
// in no package of the distribution, and these few fields do not need them.
#include "server/grpc/grpc_status.h"

#include <google/protobuf/any.pb.h>

#include <cstdint>
#include <string_view>

#include "base/check.h"

namespace sluice {
namespace {

struct Row {
  StatusCode ours;
  grpc::StatusCode theirs;
  const char* name;
  int retry_after_s;  // 0: trying again cannot help
};

constexpr Row kTable[] = {
    {StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT, "INVALID_ARGUMENT", 0},
    {StatusCode::kTooLong, grpc::StatusCode::INVALID_ARGUMENT, "INVALID_ARGUMENT", 0},
    {StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND, "NOT_FOUND", 0},
    {StatusCode::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED, "UNAUTHENTICATED", 0},
    {StatusCode::kResourceExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 1},
    {StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE, "UNAVAILABLE", 5},
    {StatusCode::kCancelled, grpc::StatusCode::CANCELLED, "CANCELLED", 0},
    {StatusCode::kDeadlineExceeded, grpc::StatusCode::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 0},
    {StatusCode::kUnimplemented, grpc::StatusCode::UNIMPLEMENTED, "UNIMPLEMENTED", 0},
    {StatusCode::kInternal, grpc::StatusCode::INTERNAL, "INTERNAL", 0},
};

const Row& row_of(StatusCode code) {
  for (const Row& row : kTable) {
    if (row.ours == code) return row;
  }
  fail_check(__FILE__, __LINE__, "a gRPC status for a status without error");
}

void append_varint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

void append_number(std::string* out, uint32_t field, uint64_t value) {
  append_varint(out, uint64_t{field} << 3);
  append_varint(out, value);
}

// A string, bytes or an embedded message.
void append_bytes(std::string* out, uint32_t field, std::string_view bytes) {
  append_varint(out, uint64_t{field} << 3 | 2);
  append_varint(out, bytes.size());
  out->append(bytes);
}

std::string any_of(std::string_view type, const std::string& message) {
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/" + std::string(type));
  any.set_value(message);
  return any.SerializeAsString();
}

// google.rpc.RetryInfo {Duration retry_delay = 1 {int64 seconds = 1}}
std::string retry_info(int seconds) {
  std::string delay;
  append_number(&delay, 1, static_cast<uint64_t>(seconds));
  std::string out;
  append_bytes(&out, 1, delay);
  return any_of("google.rpc.RetryInfo", out);
}

// google.rpc.BadRequest {repeated field_violations = 1 {string field = 1; string description = 2}}
std::string bad_request(const Status& status) {
  std::string violation;
  append_bytes(&violation, 1, status.field());
  append_bytes(&violation, 2, status.message());
  std::string out;
  append_bytes(&out, 1, violation);
  return any_of("google.rpc.BadRequest", out);
}

}  // namespace

grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const Row& row = row_of(status.code());
  const bool blames_field =
      row.theirs == grpc::StatusCode::INVALID_ARGUMENT && !status.field().empty();
  if (row.retry_after_s == 0 && !blames_field) return {row.theirs, status.message()};
  // google.rpc.Status {int32 code = 1; string message = 2; repeated Any details = 3}
  std::string details;
  append_number(&details, 1, static_cast<uint64_t>(row.theirs));
  append_bytes(&details, 2, status.message());
  append_bytes(&details, 3, blames_field ? bad_request(status) : retry_info(row.retry_after_s));
  return {row.theirs, status.message(), details};
}

const char* code_name(StatusCode code) {
  return code == StatusCode::kOk ? "OK" : row_of(code).name;
}

}  // namespace sluice
