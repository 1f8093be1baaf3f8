// InferenceService: the methods of sluice.v1.Inference. Any of gRPC's threads, several at once.
#pragma once

#include <sluice/v1/inference.grpc.pb.h>

#include "server/grpc/generate_stream.h"
#include "server/grpc/grpc_front.h"

namespace sluice {

class InferenceService final : public v1::Inference::CallbackService {
 public:
  // `front` must outlive the service and all its calls.
  explicit InferenceService(GrpcFront& front) : front_(front) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context,
                                   const v1::CancelRequest* request,
                                   v1::CancelResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* GetServer(grpc::CallbackServerContext* context,
                                      const v1::GetServerRequest* request,
                                      v1::GetServerResponse* response) override;

 private:
  // Finishes a unary call with what `work` (a Status()) says.
  template <typename Work>
  grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, std::string_view method,
                                   const Work& work);
  // The same on a worker, for what may take long. `work` is kept: it captures values only.
  template <typename Work>
  grpc::ServerUnaryReactor* answer_later(grpc::CallbackServerContext* context,
                                         std::string_view method, Work work);
  // The call's key is good; a record of it under its id, which is sent back.
  std::unique_ptr<CallRecord> begin(grpc::CallbackServerContext* context, std::string_view method,
                                    std::string_view id) const;
  Result<std::unique_ptr<GenerationFeed>> submit(const v1::GenerateRequest& request,
                                                 const CallRecord& record) const;

  GrpcFront& front_;
};

}  // namespace sluice
