"""lab.workloads: what an image name stands for."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.model.objects import Container, ContainerPort, Pod
from lab.workloads import echo, images


def _pod(container: Container) -> Pod:
    return Pod("p", "default", (container,))


@pytest.mark.parametrize(
    "image, name",
    [
        ("nginx", "nginx"),
        ("nginx:1.8", "nginx"),
        ("library/nginx:1.8", "nginx"),
        ("registry.example:5000/library/nginx", "nginx"),
        ("nginx@sha256:0123", "nginx"),
        ("registry.example:5000/a/nginx:1@sha256:0123", "nginx"),
    ],
)
def test_registry_tag_and_digest_do_not_matter(image: str, name: str) -> None:
    assert images.base_name(image) == name


def test_a_command_is_run_as_it_is_whatever_the_image() -> None:
    container = Container("c", "mysql:5", command=("sh", "-c"), args=("echo $(date); sleep 1",))
    images.require_known("pod p", [container])
    assert images.workload(_pod(container), container).argv == ("sh", "-c", "echo $(date); sleep 1")


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="pod p: .*'mysql:5'") as caught:
        images.require_known("pod p", [Container("c", "nginx"), Container("db", "mysql:5")])
    assert all(known in str(caught.value) for known in images.KNOWN_IMAGES) and "container db" in str(caught.value)


def test_every_known_image_can_be_run() -> None:
    for image in images.KNOWN_IMAGES:
        container = Container("c", image)
        assert images.is_known(container)
        images.workload(_pod(container), container)


def test_nginx_listens_where_the_container_says() -> None:
    container = Container("c", "nginx:1.8", ports=(ContainerPort(8088),))
    workload = images.workload(_pod(container), container)
    assert workload.port == 8088
    assert "listen 8088;" in dict(workload.files)["/etc/nginx/nginx.conf"]


def test_echo_serves_every_port_of_the_container() -> None:
    container = Container("c", "echo", ports=(ContainerPort(53, "dns", "UDP"), ContainerPort(80)))
    assert images.workload(_pod(container), container).echo == (("UDP", 53), ("TCP", 80))
    assert images.workload(_pod(container), container).port == 80
    assert images.workload(_pod(container), Container("c", "echo")).echo == echo.DEFAULT_PORTS


def test_what_echo_says() -> None:
    assert echo.text("p", ("10.0.0.1", 5), b"GET / HTTP/1.1\xff") == "pod: p\nclient: 10.0.0.1:5\nGET / HTTP/1.1\ufffd\n"
