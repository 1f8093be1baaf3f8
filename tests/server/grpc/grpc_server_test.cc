// Inference over a real socket and a fake service: answers, failures, clients that leave or dawdle,
// the drain.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sluice/v1/inference.grpc.pb.h>

#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/grpc/grpc_frontend.h"
#include "tests/fakes/fake_service.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

class GrpcServerTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void start() {
    options.port = 0;
    options.threads = 1;
    front.reset();
    front = GrpcFrontend::start(service, metrics, options).value();
    grpc::ChannelArguments arguments;
    // A window that does not grow: what is not read stays with the server.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stub = v1::Inference::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(front->port()),
                                  grpc::InsecureChannelCredentials(), arguments));
  }
  static v1::GenerateRequest request(int64_t max_tokens) {
    v1::GenerateRequest out;
    out.set_text("hi");
    out.mutable_sampling()->set_max_tokens(max_tokens);
    return out;
  }
  // Reads a whole stream; the text of choice 0 goes to `text`, the last message to `last`.
  grpc::Status generate(const v1::GenerateRequest& wanted) {
    grpc::ClientContext context;
    return read(*stub->Generate(&context, wanted));
  }
  grpc::Status read(grpc::ClientReader<v1::GenerateResponse>& reader) {
    text.clear();
    last.Clear();
    for (v1::GenerateResponse message; reader.Read(&message); last = message) {
      for (const v1::ChoiceDelta& choice : message.choices()) {
        if (choice.index() == 0) text += choice.text();
      }
    }
    return reader.Finish();
  }

  FakeService service;
  std::latch gate{1};  // for service.gate
  Metrics metrics{"tiny"};
  GrpcOptions options;
  std::unique_ptr<GrpcFrontend> front;
  std::unique_ptr<v1::Inference::Stub> stub;
  std::string text;
  v1::GenerateResponse last;
};

TEST_F(GrpcServerTest, StreamsAnAnswer) {
  ASSERT_TRUE(generate(request(40)).ok());
  EXPECT_EQ(text, "abcdefghijklmnopqrstuvwxyzabcdefghijklmn");
  EXPECT_EQ(last.end().usage().completion_tokens(), 40);
  EXPECT_NE(metrics.scrape({}).find(R"(sluice:grpc_requests_total{code="OK",method="Generate"} 1)"),
            std::string::npos);
  EXPECT_NE(metrics.scrape({}).find("vllm:request_generation_tokens_sum{model_name=\"tiny\"} 40"),
            std::string::npos);
}

TEST_F(GrpcServerTest, RefusesWithTheServicesWords) {
  service.refuse = Status(StatusCode::kResourceExhausted, "the queue is full");
  const grpc::Status full = generate(request(1));
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(full.error_message(), "the queue is full");
  EXPECT_NE(full.error_details().find("google.rpc.RetryInfo"), std::string::npos);
  service.refuse = Status(StatusCode::kUnavailable, "loading");
  EXPECT_EQ(generate(request(1)).error_code(), grpc::StatusCode::UNAVAILABLE);
  service.refuse = {};
  EXPECT_EQ(generate(v1::GenerateRequest()).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::GenerateRequest other = request(1);
  other.set_model("gpt-17");
  EXPECT_EQ(generate(other).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcServerTest, OutlivesABug) {
  service.throw_bug = true;
  EXPECT_EQ(generate(request(1)).error_code(), grpc::StatusCode::INTERNAL);
  service.throw_bug = false;
  EXPECT_TRUE(generate(request(1)).ok());
  service.fail = Status(StatusCode::kInternal, "broken");
  const grpc::Status late = generate(request(3));
  EXPECT_EQ(late.error_message(), "broken");
  EXPECT_EQ(text, "ab");
}

TEST_F(GrpcServerTest, RefusesALargeRequest) {
  options.max_message_bytes = 1000;
  start();
  v1::GenerateRequest large = request(1);
  large.set_text(std::string(2000, 'x'));
  EXPECT_EQ(generate(large).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(generate(request(1)).ok());
}

TEST_F(GrpcServerTest, ALeavingClientCancels) {
  service.hold = true;
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, request(100));
  v1::GenerateResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(service.live(), 1);
  context.TryCancel();
  EXPECT_TRUE(service.wait_none_live());
  EXPECT_EQ(service.cancelled(), 1);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GrpcServerTest, APromptThatTakesLongHoldsUpNoStream) {
  service.hold = true;
  grpc::ClientContext context;
  const auto running = stub->Generate(&context, request(2));
  v1::GenerateResponse message;
  ASSERT_TRUE(running->Read(&message));
  service.gate = &gate;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> slow;
  for (int i = 0; i < 8; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    slow.push_back(stub->Generate(contexts.back().get(), request(1)));
  }
  service.release(2);
  EXPECT_TRUE(read(*running).ok());
  EXPECT_EQ(text, "ab");
  for (const auto& left : contexts) left->TryCancel();  // and what is made for nobody is given up
  gate.count_down();
  for (const auto& reader : slow) {
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(service.wait_none_live());
}

TEST_F(GrpcServerTest, ACallIsCancelledByNameBeforeItsPromptIsRead) {
  service.gate = &gate;
  service.hold = true;
  v1::GenerateRequest named = request(100);
  named.set_request_id("early");
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, named);
  v1::CancelRequest wish;
  wish.set_request_id("early");
  v1::CancelResponse done;
  do {  // until the call has arrived
    grpc::ClientContext other;
    ASSERT_TRUE(stub->Cancel(&other, wish, &done).ok());
  } while (done.cancelled() == 0);
  gate.count_down();
  EXPECT_EQ(read(*reader).error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GrpcServerTest, ADeadlineCancels) {
  service.hold = true;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(50));
  const grpc::Status status = read(*stub->Generate(&context, request(100)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(service.wait_none_live());
}

TEST_F(GrpcServerTest, BoundsTheGenerationsAtOnce) {
  options.max_calls = 1;
  start();
  service.hold = true;
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, request(2));
  v1::GenerateResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(generate(request(1)).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  service.release(2);
  EXPECT_TRUE(read(*reader).ok());
}

// What the client does not read waits in the generation, not in the server's or gRPC's memory.
TEST_F(GrpcServerTest, ASlowReaderIsDroppedAfterAWhile) {
  options.write_timeout = milliseconds(200);
  start();
  service.token_text = std::string(1000, 'x');
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, request(20'000));
  v1::GenerateResponse message;
  ASSERT_TRUE(reader->Read(&message));  // it has begun
  EXPECT_TRUE(service.wait_none_live());
  const grpc::Status status = read(*reader);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_LT(text.size(), size_t{20'000} * 1000);
}

TEST_F(GrpcServerTest, AsksForTheKey) {
  options.access = std::make_shared<AccessGate>(ApiKeys({"secret"}));
  start();
  EXPECT_EQ(generate(request(1)).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext without;
  v1::GetServerResponse server;
  EXPECT_EQ(stub->GetServer(&without, {}, &server).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(server.version().empty());
  grpc::ClientContext with;
  with.AddMetadata("authorization", "Bearer secret");
  EXPECT_TRUE(read(*stub->Generate(&with, request(1))).ok());
}

TEST_F(GrpcServerTest, AnswersWithASpanOfTheClientsTrace) {
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-";
  grpc::ClientContext context;
  context.AddMetadata("traceparent", trace + "b7ad6b7169203331-00");
  ASSERT_TRUE(read(*stub->Generate(&context, request(1))).ok());
  const auto answered = context.GetServerInitialMetadata().find("traceparent")->second;
  EXPECT_TRUE(answered.starts_with(trace) && answered.ends_with("-00")) << answered;
}

TEST_F(GrpcServerTest, EchoesTheRequestId) {
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "a b");
  ASSERT_TRUE(read(*stub->Generate(&context, request(1))).ok());
  EXPECT_EQ(context.GetServerInitialMetadata().find("x-request-id")->second, "a_b");
  EXPECT_EQ(service.last_call().request_id, "a_b");
}

TEST_F(GrpcServerTest, DrainsWhatRunsAndCutsOffTheRest) {
  service.hold = true;
  grpc::ClientContext first_context;
  const auto first = stub->Generate(&first_context, request(2));
  v1::GenerateResponse message;
  ASSERT_TRUE(first->Read(&message));
  auto stopped =
      std::async(std::launch::async, [this] { return front->stop(milliseconds(60'000)); });
  service.release(2);
  EXPECT_TRUE(read(*first).ok());
  EXPECT_EQ(stopped.get(), 0);

  start();
  grpc::ClientContext second_context;
  const auto second = stub->Generate(&second_context, request(2));
  ASSERT_TRUE(second->Read(&message));
  EXPECT_EQ(front->stop(milliseconds(1)), 1);
  EXPECT_FALSE(read(*second).ok());
  EXPECT_TRUE(service.wait_none_live());
}

TEST_F(GrpcServerTest, ATakenPortIsAnError) {
  GrpcOptions same = options;
  same.port = front->port();
  const auto second = GrpcFrontend::start(service, metrics, same);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(std::to_string(same.port)), std::string::npos);
}

}  // namespace
}  // namespace sluice
