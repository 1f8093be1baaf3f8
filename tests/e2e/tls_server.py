"""A server behind TLS with a certificate of its own, and clients that trust nothing else."""
import os
import ssl
import subprocess
import urllib.error
import urllib.request

import grpc
from grpc_client import SERVICE
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import Server


def make_certificate(folder, name):
    """Writes a self-signed certificate for 127.0.0.1 and its key to cert.pem and key.pem, each in one step."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", folder / "key.new", "-out", folder / "cert.new"],
        check=True,
        capture_output=True,
    )
    os.replace(folder / "key.new", folder / "key.pem")
    os.replace(folder / "cert.new", folder / "cert.pem")


class TlsServer(Server):
    def __init__(self, folder, **options):
        super().__init__(folder / "log", ssl_certfile=folder / "cert.pem", ssl_keyfile=folder / "key.pem", **options)
        self.certificate = folder / "cert.pem"

    def status(self, path):
        try:
            return self.ask(path)[0]
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self, path, body=None):
        context = ssl.create_default_context(cafile=self.certificate)
        url = f"https://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30, context=context) as response:
            return response.status, response.read()

    def grpc_names(self):
        credentials = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{self.grpc_port}", credentials) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            return check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5).status

    def grpc_trusts(self):
        try:
            return self.grpc_names() == 1
        except grpc.RpcError:
            return False
