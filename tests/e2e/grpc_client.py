"""A gRPC client without generated code: it learns the messages of sluice.v1 from the server's own reflection."""
import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "sluice.v1.Inference"
CALL_LIMIT_S = 60


class Client:
    """`client.Tokenize(text="hi")` is a unary call; `client.Generate(...)` gives the call to iterate over.

    Keyword arguments are the request's fields; `timeout` and `metadata` are gRPC's. Arguments of the channel go to
    `options`, as ("grpc.max_receive_message_length", 1 << 20).
    """

    def __init__(self, port, options=()):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def learn(self):
        """The service's descriptor, asked for once."""
        if not hasattr(self, "service"):
            pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
            self.service = pool.FindServiceByName(SERVICE)
        return self.service

    def message(self, method):
        """An empty request of `method`."""
        return message_factory.GetMessageClass(self.learn().FindMethodByName(method).input_type)()

    def call(self, method, request, timeout=CALL_LIMIT_S, metadata=()):
        """Calls `method` with a message, or with bytes as they are."""
        described = self.learn().FindMethodByName(method)
        answer = message_factory.GetMessageClass(described.output_type)
        kind = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        stub = kind(
            f"/{SERVICE}/{method}",
            request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return stub(request, timeout=timeout, metadata=metadata)

    def __getattr__(self, method):
        if not method[0].isupper():
            raise AttributeError(method)

        def call(timeout=CALL_LIMIT_S, metadata=(), **fields):
            request = type(self.message(method))(**fields)
            return self.call(method, request, timeout, metadata)

        return call

    def text(self, **fields):
        """The whole text of choice 0 of a Generate."""
        return "".join(choice.text for answer in self.Generate(**fields) for choice in answer.choices)
