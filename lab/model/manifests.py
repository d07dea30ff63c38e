"""Kubernetes YAML -> objects of lab.model.objects, with Kubernetes' defaults, or an InputError with every problem. Pure.

What the lab has to know is read; everything else that stands there goes to the apiserver as it is (lab.model.toapi), which judges the values.
A key that Kubernetes does not have is a problem, at any depth. Whether an image can run is judged by lab.workloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from lab.errors import InputError, Problem
from lab.model import tolerated, yamlfile
from lab.model.fields import Fields
from lab.model.names import did_you_mean, label_trouble, one_of, port_name_trouble, service_trouble, subdomain_trouble
from lab.model.objects import PASSED_ON, Container, ContainerPort, Deployment, Pod, Protocol, Service
from lab.model.service import read_service

MAX_PORT = 65535
DEFAULT_NAMESPACE = "default"

_SELECTOR_FROM_TEMPLATE = ("extensions/v1beta1", "apps/v1beta1")
"""API versions in which a deployment without selector selects its template's labels."""

_VERSIONS = {
    "Deployment": ("apps/v1", "apps/v1beta2", *_SELECTOR_FROM_TEMPLATE),
    "Pod": ("v1",),
    "Service": ("v1",),
    "Namespace": ("v1",),
    **{kind: ("v1",) for kind in PASSED_ON},
    "List": ("v1",),
}

_READ = frozenset({"ObjectMeta", "Namespace", "Pod", "PodSpec", "Container", "ContainerPort", "EnvVar", "LabelSelector", "PodTemplateSpec"}) | {
    *("Deployment", "DeploymentSpec", "Service", "ServiceSpec", "ServicePort", "SessionAffinityConfig", "ClientIPConfig"),
}
"""Types of the API whose keys are judged where they are read."""


@dataclass(frozen=True)
class Objects:
    """What manifests declare, each kind in file order.

    documents   the same as it stands in the files, with every field, and objects that only the apiserver has to know
    """

    pods: tuple[Pod, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    services: tuple[Service, ...] = ()
    namespaces: tuple[str, ...] = ()
    documents: tuple[dict[str, Any], ...] = field(default=(), repr=False, compare=False)


def load_manifests(text: str, file: str) -> Objects:
    """The objects in one file's text. `file` is for messages only. Raises InputError with all problems, in file order."""
    return load_files([(text, file)])


def load_files(files: Iterable[tuple[str, str]]) -> Objects:
    """The objects of several files together, given as (text, name). Raises InputError with the problems of all of them."""
    reader = _Reader()
    for text, file in files:
        reader.add(text, file)
    return reader.result()


class _Reader:
    """Collects the objects and problems of several files."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.pods: list[Pod] = []
        self.deployments: list[Deployment] = []
        self.services: list[Service] = []
        self.namespaces: list[str] = []
        self.documents: list[dict[str, Any]] = []
        self.places: dict[tuple[str, ...], str] = {}

    def add(self, text: str, file: str) -> None:
        found: list[Problem] = []
        try:
            documents = yamlfile.load_documents(text, file)
        except InputError as error:
            self.problems += error.problems
            return
        if not documents:
            found.append(Problem(file, 0, "", "is empty; it must hold Kubernetes objects, such as a Deployment and a Service"))
        for document in documents:
            if isinstance(document.value, dict):
                self.object(Fields(document, (), document, file, found))
            else:
                text = "is no Kubernetes object; one begins with `apiVersion:` and `kind:`"
                found.append(Problem(file, document.line, "", text))
        self.problems += sorted(found, key=lambda problem: problem.line)

    def result(self) -> Objects:
        if self.problems:
            raise InputError(self.problems)
        return Objects(tuple(self.pods), tuple(self.deployments), tuple(self.services), tuple(self.namespaces), tuple(self.documents))

    def object(self, fields: Fields) -> None:
        kind = fields.text("kind", required=True)
        version = fields.text("apiVersion", required=True)
        if not kind:
            return
        if kind not in _VERSIONS:
            known = one_of([one for one in _VERSIONS if one != "List"])
            fields.wrong(f"`{kind}` is no kind that the lab knows{did_you_mean(kind, _VERSIONS)}; use {known}", "kind")
            return
        if version and version not in _VERSIONS[kind]:
            fields.wrong(f"`{version}` has no {kind} for the lab; use {one_of(_VERSIONS[kind])}", "apiVersion")
        readers: dict[str, Callable[[Fields], None]] = {
            "Deployment": self.deployment,
            "Pod": self.pod,
            "Service": self.service,
            "Namespace": self.namespace,
            "List": self.list,
        }
        readers.get(kind, self.passed_on)(fields)
        if kind != "List":
            self.documents.append(fields.part.plain())
            fields.check(kind, _READ)

    def passed_on(self, fields: Fields) -> None:
        """An object of which only its name matters here."""
        name, namespace, _ = read_metadata(fields, subdomain_trouble)
        self.once(fields, fields.text("kind"), namespace, name)

    def list(self, fields: Fields) -> None:
        fields.has("metadata")
        for item in fields.children("items"):
            self.object(item)
        fields.finish()

    def namespace(self, fields: Fields) -> None:
        name, _, _ = read_metadata(fields, label_trouble)
        fields.finish((*tolerated.OBJECT, "spec"))
        self.once(fields, "namespace", "", name)
        self.namespaces.append(name)

    def pod(self, fields: Fields) -> None:
        name, namespace, labels = read_metadata(fields, label_trouble)
        spec = fields.child("spec", required=True)
        node, containers = read_pod_spec(spec) if spec else ("", ())
        fields.finish(tolerated.OBJECT)
        self.once(fields, "pod", namespace, name)
        self.pods.append(Pod(name, namespace, containers, labels, node))

    def deployment(self, fields: Fields) -> None:
        name, namespace, _ = read_metadata(fields, label_trouble)
        spec = fields.child("spec", required=True)
        fields.finish(tolerated.OBJECT)
        self.once(fields, "deployment", namespace, name)
        if spec:
            from_template = fields.get("apiVersion") in _SELECTOR_FROM_TEMPLATE
            self.deployments.append(read_deployment(spec, name, namespace, from_template))

    def service(self, fields: Fields) -> None:
        name, namespace, _ = read_metadata(fields, service_trouble)
        service = read_service(fields, name, namespace)
        self.once(fields, "service", namespace, name)
        if service.cluster_ip:
            self.once(fields, "cluster IP", "", str(service.cluster_ip), "spec", "clusterIP")
        for index, port in enumerate(service.ports):
            if port.node_port:
                self.once(fields, f"{port.protocol} node port", "", str(port.node_port), "spec", "ports", index, "nodePort")
        self.services.append(service)

    def once(self, fields: Fields, what: str, namespace: str, name: str, *steps: str | int) -> None:
        """Note it when something that must be unique comes a second time."""
        steps = steps or ("metadata", "name")
        place = f"{fields.file}:{fields.root.line_of((*fields.path, *steps))}"
        first = self.places.setdefault((what, namespace, name), place)
        if name and first != place:
            shown = f"{namespace}/{name}" if namespace else name
            fields.wrong(f"the {what} {shown} is there already, in {first}; use another one", *steps)


def read_metadata(fields: Fields, trouble: Callable[[str], str]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Name, namespace and labels of an object."""
    metadata = fields.child("metadata", required=True)
    if not metadata:
        return "", DEFAULT_NAMESPACE, ()
    name = metadata.text("name", required=True, trouble=trouble)
    namespace = metadata.text("namespace", DEFAULT_NAMESPACE, trouble=label_trouble)
    labels = metadata.labels("labels")
    metadata.finish(tolerated.METADATA)
    return name, namespace, labels


def read_deployment(spec: Fields, name: str, namespace: str, selector_from_template: bool) -> Deployment:
    """A deployment from its `spec`."""
    replicas = spec.number("replicas", 0, 10_000, default=1)
    selector = _read_selector(spec)
    labels: tuple[tuple[str, str], ...] = ()
    containers: tuple[Container, ...] = ()
    if template := spec.child("template", required=True):
        labels, containers = _read_template(template)
        if selector is None and not selector_from_template:
            spec.wrong("is missing; apps/v1 needs `selector: {matchLabels: ...}` with labels of the template", "selector")
        elif selector is not None and labels and not set(selector) <= set(labels):
            missing = ", ".join(f"{key}: {value}" for key, value in selector if (key, value) not in labels)
            spec.wrong(f"does not match the template's labels, which lack {missing}; make them equal", "selector")
    spec.finish(tolerated.DEPLOYMENT_SPEC)
    return Deployment(name, namespace, replicas, labels if selector is None else selector, labels, containers)


def _read_selector(spec: Fields) -> tuple[tuple[str, str], ...] | None:
    selector = spec.child("selector")
    if selector is None:
        return None
    labels = selector.labels("matchLabels")
    if not selector.has("matchExpressions") and not labels:
        selector.wrong("is empty; name labels of the template under matchLabels", "matchLabels")
    selector.finish()
    return labels


def _read_template(template: Fields) -> tuple[tuple[tuple[str, str], ...], tuple[Container, ...]]:
    labels: tuple[tuple[str, str], ...] = ()
    containers: tuple[Container, ...] = ()
    metadata = template.child("metadata")
    if metadata is None or not metadata.get("labels"):
        template.wrong("has no metadata.labels; a deployment finds its pods by them, add one such as `app: nginx`")
    if metadata:
        metadata.text("name")
        metadata.text("namespace")
        labels = metadata.labels("labels")
        metadata.finish(tolerated.METADATA)
    if spec := template.child("spec", required=True):
        node, containers = read_pod_spec(spec)
        if node:
            text = "a deployment's pods go to several nodes here; name a node in a Pod, or pin pods in the scenario"
            spec.wrong(text, "nodeName")
    template.finish()
    return labels, containers


def read_pod_spec(spec: Fields) -> tuple[str, tuple[Container, ...]]:
    """The node that a pod names (or nothing) and its containers."""
    node = spec.text("nodeName", trouble=label_trouble)
    spec.flag("hostNetwork")
    parts = spec.children("containers")
    if not spec.has("containers") or spec.get("containers") == []:
        spec.wrong("is missing; a pod has at least one container", "containers")
    names: set[str] = set()
    containers: list[Container] = []
    first = spec.children("initContainers")
    for part in (*first, *parts):
        container = _read_container(part)
        if container.name and container.name in names:
            part.wrong(f"`{container.name}` is the name of another container of this pod; use another one", "name")
        names.add(container.name)
        containers.append(container)
    spec.finish(tolerated.POD_SPEC)
    return node, tuple(containers[len(first) :])


def _read_container(part: Fields) -> Container:
    container = Container(
        part.text("name", required=True, trouble=label_trouble),
        part.text("image", required=True),
        part.texts("command"),
        part.texts("args"),
        _read_ports(part),
        _read_env(part),
    )
    part.finish(tolerated.CONTAINER)
    return container


def _read_ports(container: Fields) -> tuple[ContainerPort, ...]:
    ports, names = [], set()
    for part in container.children("ports"):
        number = part.number("containerPort", 1, MAX_PORT, required=True)
        name = part.text("name", trouble=port_name_trouble)
        if name and name in names:
            part.wrong(f"`{name}` is the name of another port of this container; use another one", "name")
        names.add(name)
        protocol = cast(Protocol, part.choice("protocol", ("TCP", "UDP"), "TCP"))
        part.finish(tolerated.CONTAINER_PORT)
        ports.append(ContainerPort(number, name, protocol))
    return tuple(ports)


def _read_env(container: Fields) -> tuple[tuple[str, str], ...]:
    """Variables with a plain value; those that Kubernetes would fetch from elsewhere are left out."""
    found = []
    for part in container.children("env"):
        name, value = part.text("name", required=True), part.text("value")
        if not part.has("valueFrom"):
            found.append((name, value))
        part.finish()
    return tuple(found)
