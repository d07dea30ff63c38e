"""Amazon's cloud as far as flannel sees it: moto's EC2 in this process, the metadata service beside it, and a router that follows them."""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from lab.cloud import ec2, web
from lab.cloud.ec2 import Card, Ec2
from lab.cloud.router import Router
from lab.cloud.routes import Instance, Machine, blocks
from lab.cloud.web import Answer, Request
from lab.flannel.metadata import HOST

CHAIN = "SOURCE-DEST-CHECK"
REGION = ec2.ZONE[:-1]
_SEED = 20150815
"""With a seed moto's ids are the same in every run."""

_FORM = "application/x-www-form-urlencoded"


class Aws:
    """The application behind the cloud's one address: the EC2 API at /, what an instance asks about itself below /latest."""

    def __init__(self, machines: Sequence[Machine], router: Router) -> None:
        self._app = _moto()
        self._router = router
        self._cards: dict[str, Card] = {}
        self._ec2 = Ec2(self._send)
        self._vpc = self._private_network(machines)
        for machine in machines:
            self._ec2.launch(machine, self._vpc)
        self._follow()

    def __call__(self, request: Request) -> Answer:
        """Answer one request; what it changes is in force on the router before the caller learns of it."""
        if request.path.startswith("/latest/"):
            return self._metadata(request)
        parameters = dict(request.query) | dict(parse_qsl(request.body.decode("utf-8", "replace")))
        action = parameters.get("Action", "")
        if action == "CreateRoute" and self._is_full(parameters.get("RouteTableId", "")):
            words = f"The maximum number of routes ({ec2.LIMIT}) has been reached for the table"
            return Answer(400, ec2.refusal("RouteLimitExceeded", words), "text/xml", action)
        status, body = self._send(ec2.form(action, parameters), request.headers.get("authorization", ""))
        if action == "TerminateInstances" and status == 200:
            self._ec2.delete_cards(ec2.texts(ec2.parse(body), "instanceId"))
        if not action.startswith("Describe"):
            self._follow()
        return Answer(status, body, "text/xml; charset=utf-8", action)

    def _private_network(self, machines: Sequence[Machine]) -> str:
        """One VPC around all machines, in place of the default one."""
        default = self._ec2.vpc()
        for subnet in ec2.texts(self._ec2.call("DescribeSubnets"), "subnetId"):
            self._ec2.call("DeleteSubnet", {"SubnetId": subnet})
        self._ec2.call("DeleteVpc", {"VpcId": default})
        first, *more = blocks(machine.address.network for machine in machines)
        vpc = ec2.text(self._ec2.call("CreateVpc", {"CidrBlock": first}), "vpcId")
        for block in more:
            self._ec2.call("AssociateVpcCidrBlock", {"VpcId": vpc, "CidrBlock": block})
        return vpc

    def _follow(self) -> None:
        self._cards = self._ec2.cards()
        instances = [Instance(card.address, not card.checked) for card in self._cards.values()]
        self._router.follow(self._ec2.rows(self._vpc, self._cards), instances)

    def _is_full(self, table: str) -> bool:
        try:
            return self._ec2.is_full(table)
        except ec2.Ec2Error:  # moto will say what is wrong with the table
            return False

    def _metadata(self, request: Request) -> Answer:
        """What the instance with the caller's address is told, as the real service tells machines apart."""
        if request.path == "/latest/api/token":
            return web.text("lab")
        card = next((card for card in self._cards.values() if card.address == request.source), None)
        found = None if card is None else _about(card).get(request.path.removeprefix("/latest/"))
        return web.text("404 - Not Found\n", 404) if found is None else web.text(found)

    def _send(self, body: bytes, authorization: str = "") -> tuple[int, bytes]:
        """Pass a request on to moto, which is a WSGI application."""
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": HOST,
            "SERVER_PORT": str(web.PORT),
            "HTTP_HOST": f"ec2.{REGION}.amazonaws.com",
            "CONTENT_TYPE": _FORM,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
        }
        if authorization:
            environ["HTTP_AUTHORIZATION"] = authorization
        from botocore.model import OperationNotFoundError

        told: list[str] = []
        try:
            answer = b"".join(self._app(environ, lambda status, headers, trouble=None: told.append(status)))
        except NotImplementedError as error:
            return 501, ec2.refusal("UnsupportedOperation", f"moto does not have it: {error}")
        except OperationNotFoundError as error:
            return 400, ec2.refusal("InvalidAction", f"The action {error} is not valid for this web service.")
        return int(told[-1].split()[0]), answer


def _about(card: Card) -> dict[str, str]:
    """Path -> text below /latest for one instance."""
    identity = {"instanceId": card.instance, "privateIp": str(card.address), "region": REGION, "availabilityZone": ec2.ZONE}
    return {
        "meta-data/instance-id": card.instance,
        "meta-data/local-ipv4": str(card.address),
        "meta-data/placement/availability-zone": ec2.ZONE,
        "meta-data/placement/region": REGION,
        "dynamic/instance-identity/document": json.dumps(identity, indent=2),
    }


def _moto() -> Callable[..., Any]:
    """moto's EC2 alone, as a WSGI application. Takes two seconds."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    gc.disable()  # it reads much JSON that stays
    from moto.moto_api._internal import mock_random
    from moto.moto_server.werkzeug_app import create_backend_app

    mock_random.seed(_SEED)
    app: Callable[..., Any] = create_backend_app("ec2")
    gc.freeze()
    gc.enable()
    from moto.ec2.models.route_tables import Route

    # moto calls every route active. A route to a network interface that is gone is a blackhole, and flannel looks for those.
    Route.state = property(lambda route: "blackhole" if _is_gone(route) else "active")
    return app


def _is_gone(route: Any) -> bool:
    return route.interface is not None and route.interface.id not in route.route_table.ec2_backend.enis
