"""docker/kubernetes against Kubernetes' own schemas, strictly: no field that it does not know."""
import kubernetes_validate
import pytest
import yaml
from images import ROOT

# The oldest version in support when this was written, and the newest whose schemas are there.
VERSIONS = ["1.33.0", kubernetes_validate.latest_version()]
# Of the Prometheus Operator, the Gateway API and Kustomize, whose schemas are not among them.
FOREIGN = {"ServiceMonitor", "InferencePool", "HTTPRoute", "Kustomization"}
FILES = sorted((ROOT / "docker/kubernetes").glob("*.yaml"))


def own_objects():
    for file in FILES:
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] not in FOREIGN:
                yield document


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", list(own_objects()), ids=lambda manifest: manifest["kind"])
def test_manifests_fit_the_schemas(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_find_a_misspelt_field(version):
    manifest = next(document for document in own_objects() if document["kind"] == "Deployment")
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, version, strict=True)
