// An interceptor for the methods of reflection. It cannot choose a call's status, only end it.
#include "server/grpc/reflection_guard.h"

#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {
namespace {

namespace hooks = grpc::experimental;

class Guard final : public hooks::Interceptor {
 public:
  Guard(const AccessGate& access, grpc::ServerContextBase* context)
      : access_(access), context_(context) {}

  void Intercept(hooks::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            hooks::InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      const auto* metadata = methods->GetRecvInitialMetadata();
      const auto key = metadata->find("authorization");
      const std::string_view given = key == metadata->end()
                                         ? std::string_view()
                                         : std::string_view(key->second.data(), key->second.size());
      if (!access_.check(given).ok()) context_->TryCancel();
    }
    methods->Proceed();
  }

 private:
  const AccessGate& access_;
  grpc::ServerContextBase* context_;
};

class GuardFactory final : public hooks::ServerInterceptorFactoryInterface {
 public:
  explicit GuardFactory(std::shared_ptr<const AccessGate> access) : access_(std::move(access)) {}

  hooks::Interceptor* CreateServerInterceptor(hooks::ServerRpcInfo* info) override {
    const std::string_view method = info->method();
    if (!method.starts_with("/grpc.reflection.")) return nullptr;
    return new Guard(*access_, info->server_context());  // the library's to delete
  }

 private:
  const std::shared_ptr<const AccessGate> access_;
};

}  // namespace

void guard_reflection(grpc::ServerBuilder& builder, std::shared_ptr<const AccessGate> access) {
  std::vector<std::unique_ptr<hooks::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<GuardFactory>(std::move(access)));
  builder.experimental().SetInterceptorCreators(std::move(factories));
}

}  // namespace sluice
