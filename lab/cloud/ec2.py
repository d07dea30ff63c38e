"""EC2's query protocol from the caller's side: an action and its parameters go out as a form, XML comes back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, fromstring
from xml.sax.saxutils import escape

from lab.cloud.routes import Machine, Row
from lab.errors import LabError

VERSION = "2016-11-15"
ZONE = "us-east-1a"
IMAGE = "ami-12c6146b"
LIMIT = 50
"""How many routes a VPC route table takes, its local ones aside, unless Amazon grants more."""

Send = Callable[[bytes], tuple[int, bytes]]
"""Takes the form, gives the HTTP status and what came back."""


class Ec2Error(LabError):
    """The API says no. `code` as Amazon has it: InvalidRoute.NotFound."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(f"{code}: {text}")


@dataclass(frozen=True)
class Card:
    """A network interface of an instance."""

    id: str
    instance: str
    address: IPv4Address
    checked: bool


class Ec2:
    """Calls the API through `send`."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def call(self, action: str, parameters: Mapping[str, object] | None = None) -> Element:
        """Do an action. Raises Ec2Error when the API refuses it."""
        status, answer = self._send(form(action, parameters or {}))
        root = parse(answer)
        if status >= 300:
            raise Ec2Error(text(root, "Code") or str(status), text(root, "Message") or answer.decode("utf-8", "replace"))
        return root

    def launch(self, machine: Machine, vpc: str) -> None:
        """Run an instance with the machine's name and address, in the VPC's subnet for it, which is made if need be."""
        subnet = self._subnet(vpc, machine.address.network)
        card = {"DeviceIndex": 0, "SubnetId": subnet, "PrivateIpAddress": machine.address.ip, "DeleteOnTermination": "true"}
        card["AssociatePublicIpAddress"] = "false"
        tag = {"ResourceType": "instance", "Tag.1.Key": "Name", "Tag.1.Value": machine.name}
        once = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1}
        self.call("RunInstances", once | _under("NetworkInterface.1", card) | _under("TagSpecification.1", tag))

    def terminate(self, name: str) -> None:
        """Terminate the instances of that name."""
        running = self.call("DescribeInstances", _filter("tag:Name", name) | _filter("instance-state-name", "running", 2))
        for number, instance in enumerate(texts(running, "instanceId"), 1):
            self.call("TerminateInstances", {f"InstanceId.{number}": instance})

    def delete_cards(self, instances: Collection[str]) -> None:
        """Delete the network interfaces of instances that are gone: at Amazon they go along, moto keeps some."""
        for card in self.cards().values():
            if card.instance in instances:
                self.call("DeleteNetworkInterface", {"NetworkInterfaceId": card.id})

    def vpc(self) -> str:
        """The one VPC."""
        return texts(self.call("DescribeVpcs"), "vpcId")[0]

    def cards(self) -> dict[str, Card]:
        """The network interfaces of running instances, by their id."""
        found = {}
        for item in items(self.call("DescribeNetworkInterfaces"), "networkInterfaceSet"):
            number, instance = text(item, "networkInterfaceId"), text(item, "instanceId")
            if instance:
                checked = text(item, "sourceDestCheck") == "true"
                found[number] = Card(number, instance, IPv4Address(text(item, "privateIpAddress")), checked)
        return found

    def rows(self, vpc: str, cards: Mapping[str, Card]) -> list[Row]:
        """The rows of the VPC's tables that lead to network interfaces, one table after the other."""
        tables = items(self.call("DescribeRouteTables", _filter("vpc-id", vpc)), "routeTableSet")
        routes = [route for table in tables for route in items(table, "routeSet")]
        return [
            Row(IPv4Network(text(route, "destinationCidrBlock")), cards[card].address if card in cards else None)
            for route, card in ((route, text(route, "networkInterfaceId")) for route in routes)
            if card
        ]

    def is_full(self, table: str) -> bool:
        """Whether a route table has no room left. Raises Ec2Error when there is none of that id."""
        found = self.call("DescribeRouteTables", {"RouteTableId.1": table})
        return texts(found, "origin").count("CreateRoute") >= LIMIT

    def _subnet(self, vpc: str, network: IPv4Network) -> str:
        """The VPC's subnet for a network; made, with a block of addresses around it, where there is none."""
        found = texts(self.call("DescribeSubnets", _filter("vpc-id", vpc) | _filter("cidr-block", network, 2)), "subnetId")
        if found:
            return found[0]
        taken = items(self.call("DescribeVpcs"), "cidrBlockAssociationSet")
        if not any(network.subnet_of(IPv4Network(text(block, "cidrBlock"))) for block in taken):
            self.call("AssociateVpcCidrBlock", {"VpcId": vpc, "CidrBlock": network})
        made = self.call("CreateSubnet", {"VpcId": vpc, "CidrBlock": network, "AvailabilityZone": ZONE})
        return text(made, "subnetId")


def form(action: str, parameters: Mapping[str, object]) -> bytes:
    """The body of a request."""
    return urlencode({"Action": action, "Version": VERSION} | dict(parameters)).encode()


def parse(answer: bytes) -> Element:
    """The XML of an answer, its names without the namespace; an empty element for what is no XML."""
    try:
        root = fromstring(answer)
    except SyntaxError:  # what ElementTree's ParseError is
        return Element("none")
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def items(root: Element, name: str) -> list[Element]:
    """The members of a list."""
    found = root.find(f".//{name}")
    return [] if found is None else found.findall("item")


def texts(root: Element, name: str) -> list[str]:
    """What stands in each element of that name."""
    return [element.text or "" for element in root.iter(name)]


def text(root: Element, name: str) -> str:
    """What stands in the first element of that name, empty when there is none."""
    return next(iter(texts(root, name)), "")


def refusal(code: str, words: str) -> bytes:
    """An error as the API words it."""
    head = f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(words)}</Message></Error></Errors>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}<RequestID>request-id</RequestID></Response>'.encode()


def _filter(name: str, value: object, number: int = 1) -> dict[str, object]:
    return {f"Filter.{number}.Name": name, f"Filter.{number}.Value.1": value}


def _under(prefix: str, parameters: Mapping[str, object]) -> dict[str, object]:
    return {f"{prefix}.{name}": value for name, value in parameters.items()}
