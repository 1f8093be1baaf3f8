// `sluice client`: asks a running server over gRPC and writes the answer as it comes.
#include <grpcpp/create_channel.h>
#include <sluice/v1/inference.grpc.pb.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "base/text.h"
#include "server/cli/answer_text.h"
#include "server/cli/command.h"
#include "server/cli/prompt_options.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Client";

struct ClientOptions {
  PromptOptions ask;
  std::string server = "127.0.0.1:50051";
  std::string api_key;
  std::string ca_certs;
  std::string model;
  bool raw = false;
  double timeout_s = 600;
  bool stats = false;
};

void add_connection_options(OptionSet& set, ClientOptions& options) {
  set.add({.name = "server",
           .group = kGroup,
           .target = &options.server,
           .help = "Address of the server's gRPC port",
           .command_line_only = true});
  set.add({.name = "api-key",
           .group = kGroup,
           .target = &options.api_key,
           .help = "Key, where the server asks for one",
           .secret = true});
  set.add({.name = "ssl-ca-certs",
           .group = kGroup,
           .target = &options.ca_certs,
           .help = "Certificates to trust (PEM): the server speaks TLS",
           .command_line_only = true});
  set.add({.name = "model",
           .group = kGroup,
           .target = &options.model,
           .help = "Name of the model. Default: the server's",
           .command_line_only = true});
  set.add({.name = "timeout",
           .group = kGroup,
           .target = &options.timeout_s,
           .help = "Seconds for the whole answer",
           .min = 0.1,
           .max = 86400,
           .command_line_only = true});
}

void add_request_options(OptionSet& set, ClientOptions& options) {
  options.ask.add_to(set, kGroup, /*positional=*/true,
                     "A user's message; - reads it from standard input");
  set.add({.name = "raw",
           .group = kGroup,
           .target = &options.raw,
           .help = "The prompt is a text to continue, not a message",
           .command_line_only = true});
  set.add({.name = "stats",
           .group = kGroup,
           .target = &options.stats,
           .help = "Then write tokens and times to standard error",
           .command_line_only = true});
}

v1::GenerateRequest make_request(const ClientOptions& options) {
  const std::string prompt = options.ask.text();
  v1::GenerateRequest request;
  request.set_model(options.model);
  if (options.raw) {
    request.set_text(prompt);
  } else {
    v1::ChatMessage* message = request.mutable_chat()->add_messages();
    message->set_role("user");
    message->set_content(prompt);
  }
  v1::SamplingParams& sampling = *request.mutable_sampling();
  if (options.ask.max_tokens > 0) sampling.set_max_tokens(options.ask.max_tokens);
  if (options.ask.temperature >= 0)
    sampling.set_temperature(static_cast<float>(options.ask.temperature));
  return request;
}

void write_stats(const v1::GenerationEnd& end) {
  const auto ms = [](const google::protobuf::Duration& time) {
    return time.seconds() * 1000 + time.nanos() / 1'000'000;
  };
  std::cerr << end.usage().prompt_tokens() << " prompt tokens (" << end.usage().cached_tokens()
            << " cached), " << end.usage().completion_tokens() << " tokens; first after "
            << ms(end.timings().time_to_first_token()) << " ms, all after "
            << ms(end.timings().total()) << " ms\n";
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const ClientOptions& options) {
  if (options.ca_certs.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(options.ca_certs, std::ios::binary);
  return grpc::SslCredentials(
      {.pem_root_certs = std::string(std::istreambuf_iterator<char>(file), {}),
       .pem_private_key = {},
       .pem_cert_chain = {}});
}

grpc::Status ask(const ClientOptions& options) {
  const auto stub =
      v1::Inference::NewStub(grpc::CreateChannel(options.server, credentials(options)));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(static_cast<int64_t>(options.timeout_s * 1e3)));
  if (!options.api_key.empty()) {
    context.AddMetadata("authorization", "Bearer " + options.api_key);
  }
  const auto reader = stub->Generate(&context, make_request(options));
  AnswerText answer(std::cout);
  for (v1::GenerateResponse message; reader->Read(&message);) {
    for (const v1::ChoiceDelta& choice : message.choices()) {
      answer.add(choice.reasoning(), choice.text());
    }
    std::cout << std::flush;
    if (!message.has_end()) continue;
    std::cout << "\n";
    if (options.stats) write_stats(message.end());
  }
  return reader->Finish();
}

}  // namespace

int run_client(const Arguments& arguments) {
  OptionSet set("client", "Asks a running server over gRPC.");
  ClientOptions options;
  add_request_options(set, options);
  add_connection_options(set, options);
  if (const auto status = read_options(set, arguments)) return *status;
  if (options.ask.prompt.empty()) {
    return fail(invalid_argument("the prompt is empty; give it a text, or - for standard input"));
  }
  const grpc::Status status = ask(options);
  if (status.ok()) return kExitOk;
  return fail({StatusCode::kUnavailable, str(options.server, ": ", status.error_message())});
}

}  // namespace sluice
