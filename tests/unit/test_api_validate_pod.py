"""Common mistakes in pods and workloads, and the real apiserver's words for them."""

from __future__ import annotations

from typing import Any

import pytest

from lab.master.api import defaults, openapi, validate

Object = dict[str, Any]


def said(item: Object, old: Object | None = None) -> list[str]:
    kind = item["kind"]
    return [str(one) for one in validate.faults(defaults.with_defaults(item, kind), kind, old and defaults.with_defaults(old, kind))]


def pod(container: Object | None = None, **spec: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec}}


def deployment(**spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
    selector = {"matchLabels": {"app": "web"}}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": selector, "template": template, **spec}}


C = "spec.containers[0]"
PODS = [
    (pod({"ports": [{"containerPort": 0}]}), f"{C}.ports[0].containerPort: Required value"),
    (pod({"ports": [{"containerPort": 70000}]}), f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    (pod({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}), f'{C}.ports[1].name: Duplicate value: "a"'),
    (pod({"ports": [{"containerPort": 1, "hostPort": -1}]}), f"{C}.ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive"),
    (
        pod({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
        f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        pod({"resources": {"limits": {"cpu": "-1"}, "requests": {"cpu": "0"}}}),
        f'{C}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    (pod({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}), f'{C}.volumeMounts[0].name: Not found: "x"'),
    (pod({"volumeMounts": [{"name": "v"}]}, volumes=[{"name": "v"}]), f"{C}.volumeMounts[0].mountPath: Required value"),
    (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/a"}] * 2}, volumes=[{"name": "v"}]),
        f'{C}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
    ),
    (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}, volumes=[{"name": "v"}]),
        f"{C}.volumeMounts[0].subPath: Invalid value: \"../b\": must not contain '..'",
    ),
    (pod(volumes=[{"name": "v"}, {"name": "v"}]), 'spec.volumes[1].name: Duplicate value: "v"'),
    (pod(volumes=[{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName: Required value"),
    (
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/run"}}]),
        "spec.volumes[0].hostPath: Forbidden: may not specify more than one volume type",
    ),
    (pod({"livenessProbe": {}}), f"{C}.livenessProbe: Required value: must specify a handler type"),
    (pod({"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}}), f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    (pod({"readinessProbe": {"httpGet": {"port": 0}}}), f"{C}.readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (pod({"lifecycle": {"preStop": {}}}), f"{C}.lifecycle.preStop: Required value: must specify a handler type"),
    (
        pod({"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
        f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (pod(restartPolicy="Sometimes"), 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    (pod(dnsPolicy="x"), 'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'),
]


@pytest.mark.parametrize(("item", "text"), PODS, ids=lambda value: value if isinstance(value, str) else "")
def test_mistakes_in_pods(item: Object, text: str) -> None:
    assert said(item) == [text]


def test_a_resource_that_nobody_knows_is_refused_twice() -> None:
    assert said(pod({"resources": {"requests": {"ram": "1Gi"}}})) == [
        f'{C}.resources.requests[ram]: Invalid value: "ram": must be a standard resource type or fully qualified',
        f'{C}.resources.requests[ram]: Invalid value: "ram": must be a standard resource for containers',
    ]


def test_mistakes_in_selectors() -> None:
    mismatch = 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
    assert said(deployment(selector=None)) == ["spec.selector: Required value", mismatch]
    assert said(deployment(selector={"matchLabels": {"app": "x"}})) == [mismatch]
    assert said(deployment(selector={})) == ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
    more = deployment()
    more["spec"]["selector"]["matchLabels"] = {"app": "web", "x": "y"}
    more["spec"]["template"]["metadata"]["labels"] = {"app": "web", "x": "y"}
    assert said(more, deployment()) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable',
    ]


def test_a_services_address_stays() -> None:
    def service(address: str) -> Object:
        return {"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}

    assert said(service("10.96.0.9"), service("10.96.0.8")) == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: may not change once set']


@pytest.mark.parametrize("text", ["1", "100m", "1.5", ".5", "64Mi", "2G", "1e3", "12E6", "-1", "0"])
def test_quantities(text: str) -> None:
    assert openapi.quantity_error(pod({"resources": {"limits": {"cpu": text}}}), "Pod", "v1") == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("64MB", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("lots", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("1MM", "unable to parse quantity's suffix"),
    ],
)
def test_what_is_no_quantity(text: str, why: str) -> None:
    item = deployment()
    item["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": text}}
    found = openapi.quantity_error(item, "Deployment", "apps/v1")
    assert found == f'Deployment in version "v1" cannot be handled as a Deployment: {why}'
