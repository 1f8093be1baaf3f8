// The methods of sluice.v1.Inference.
#include "server/grpc/inference_service.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "server/front.h"
#include "server/grpc/grpc_status.h"
#include "server/version.h"

namespace sluice {
namespace {

// A metadata value of the client's; empty where there is none. Metadata names are lower case.
std::string_view metadata(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

// What `work` returns; a bug in it is a Status too, as nothing may be thrown into gRPC.
template <typename Work>
auto guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& error) {
    log_error(str("grpc: a call failed: ", error.what()));
    return Status(StatusCode::kInternal, error.what());
  }
}

}  // namespace

std::unique_ptr<CallRecord> InferenceService::begin(grpc::CallbackServerContext* context,
                                                    std::string_view method,
                                                    std::string_view id) const {
  if (id.empty()) id = metadata(*context, "x-request-id");
  TraceContext trace = read_trace_context(metadata(*context, "traceparent"));
  if (!trace.empty()) context->AddInitialMetadata("traceparent", trace.header());
  auto record = std::make_unique<CallRecord>(front_, method, request_id(id), std::move(trace));
  context->AddInitialMetadata("x-request-id", record->id());
  return record;
}

template <typename Work>
grpc::ServerUnaryReactor* InferenceService::answer(grpc::CallbackServerContext* context,
                                                   std::string_view method, const Work& work) {
  const std::unique_ptr<CallRecord> record = begin(context, method, {});
  Status status = front_.options.access->check(metadata(*context, "authorization"));
  if (status.ok()) status = guarded(work);
  record->end(status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(to_grpc(status));
  return reactor;
}

template <typename Work>
grpc::ServerUnaryReactor* InferenceService::answer_later(grpc::CallbackServerContext* context,
                                                         std::string_view method, Work work) {
  std::shared_ptr<CallRecord> record = begin(context, method, {});
  const Status access = front_.options.access->check(metadata(*context, "authorization"));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  front_.workers.wake(std::make_shared<Task>([=] {
    const Status status = access.ok() ? guarded(work) : access;
    record->end(status);
    reactor->Finish(to_grpc(status));
  }));
  return reactor;
}

grpc::ServerWriteReactor<v1::GenerateResponse>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  std::unique_ptr<CallRecord> record = begin(context, "Generate", request->request_id());
  const Status access = front_.options.access->check(metadata(*context, "authorization"));
  if (!access.ok()) {
    record->end(access);
    return refuse_stream(access);
  }
  FeedMaker make_feed = [this, request, named = record.get()] {
    return guarded([&] { return submit(*request, *named); });
  };
  return start_stream(front_, context, std::move(make_feed), std::move(record));
}

Result<std::unique_ptr<GenerationFeed>> InferenceService::submit(const v1::GenerateRequest& request,
                                                                 const CallRecord& record) const {
  Result<std::string> name = served_name(front_.service.model(), request.model());
  if (!name.ok()) return name.status();
  Result<GenerateCall> call = to_call(request, front_.service.default_sampling());
  if (!call.ok()) return call.status();
  call->request_id = record.id();
  GenerationFeed::Call feed{.request_id = record.id(),
                            .model = std::move(name).value(),
                            .n = call->sampling.n,
                            .prompt_logprobs = call->sampling.prompt_logprobs,
                            .stop_ids = call->sampling.stop_token_ids,
                            .arrival = record.arrival()};
  Result<std::unique_ptr<Generation>> generation = front_.service.generate(std::move(call).value());
  if (!generation.ok()) return generation.status();
  return std::make_unique<GenerationFeed>(std::move(generation).value(), std::move(feed),
                                          front_.metrics);
}

grpc::ServerUnaryReactor* InferenceService::Cancel(grpc::CallbackServerContext* context,
                                                   const v1::CancelRequest* request,
                                                   v1::CancelResponse* response) {
  return answer(context, "Cancel", [&]() -> Status {
    if (request->request_id().empty()) {
      return invalid_argument("request_id is missing", "request_id");
    }
    response->set_cancelled(front_.calls.cancel(request_id(request->request_id())));
    return {};
  });
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const v1::TokenizeRequest* request,
                                                     v1::TokenizeResponse* response) {
  return answer_later(context, "Tokenize", [=, this]() -> Status {
    const ModelInfo model = front_.service.model();
    const Result<std::string> name = served_name(model, request->model());
    if (!name.ok()) return name.status();
    const Result<GenerateCall> call = to_call(*request);
    if (!call.ok()) return call.status();
    const Result<std::vector<TokenId>> tokens = front_.service.tokenize(call.value());
    if (!tokens.ok()) return tokens.status();
    const std::vector<TokenId>& ids = tokens.value();
    response->mutable_token_ids()->Add(ids.begin(), ids.end());
    response->set_max_model_len(model.max_model_len);
    if (!request->return_spellings()) return {};
    for (const TokenId id : ids) response->add_spellings(front_.service.token_spelling(id));
    return {};
  });
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(grpc::CallbackServerContext* context,
                                                       const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeResponse* response) {
  return answer_later(context, "Detokenize", [=, this]() -> Status {
    const Result<std::string> name = served_name(front_.service.model(), request->model());
    if (!name.ok()) return name.status();
    const Result<std::string> text =
        front_.service.detokenize({request->token_ids().begin(), request->token_ids().end()});
    if (!text.ok()) return text.status();
    response->set_text(text.value());
    return {};
  });
}

grpc::ServerUnaryReactor* InferenceService::GetModel(grpc::CallbackServerContext* context,
                                                     const v1::GetModelRequest*,
                                                     v1::GetModelResponse* response) {
  return answer(context, "GetModel", [&]() -> Status {
    const ModelInfo model = front_.service.model();
    for (const std::string& name : model.names) response->add_names(name);
    response->set_max_model_len(model.max_model_len);
    response->mutable_created()->set_seconds(model.created_unix_s);
    return {};
  });
}

grpc::ServerUnaryReactor* InferenceService::GetServer(grpc::CallbackServerContext* context,
                                                      const v1::GetServerRequest*,
                                                      v1::GetServerResponse* response) {
  return answer(context, "GetServer", [&]() -> Status {
    const EngineStats stats = front_.service.engine_stats();
    response->set_version(std::string(version()));
    response->set_commit(std::string(version_commit()));
    response->set_readiness(to_proto(front_.service.readiness()));
    response->set_running(stats.num_running);
    response->set_waiting(stats.num_waiting);
    if (stats.kv.blocks_total > 0) {
      response->set_kv_cache_usage(static_cast<double>(stats.kv.blocks_held) /
                                   static_cast<double>(stats.kv.blocks_total));
    }
    return {};
  });
}

}  // namespace sluice
