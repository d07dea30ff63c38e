"""The aws-vpc backend: a row in a VPC's route table leads to the node's subnet, and Amazon's network carries the packets as they are.

Everything is done once, at the start: the row stays when flanneld ends, and nobody puts it back when it is taken away.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.errors import BootError, MachineError, UsageError
from lab.flannel import metadata
from lab.flannel.backends.alloc import AllocNetwork
from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs

ENDPOINT = "AWS_ENDPOINT_URL"
"""The variable with the address of the EC2 API. Without it nothing is asked: the lab's flanneld is not for Amazon's own."""

RETRIES = 5

_ADVICE = {
    "InvalidRouteTableID.NotFound": "; name one of the VPC's as Backend.RouteTableID, or leave that out",
    "RouteLimitExceeded": "; this backend is for clusters of about 50 nodes, unless Amazon grants more",
}
"""What to do about an error, by Amazon's name for it."""


class AwsVpcBackend:
    """See lab.flannel.backends.base.Backend. `about`: where the metadata service is."""

    def __init__(self, external: External, acquire: Acquire, log: Log, about: str = f"http://{metadata.HOST}/latest/meta-data") -> None:
        self._external = external
        self._acquire = acquire
        self._log = log
        self._about = about

    def register_network(self, config: Config) -> AwsVpcNetwork:
        """Acquire the subnet, then let the VPC's route table lead to this node for it, through the EC2 API."""
        configured = route_tables(config.backend.get("routetableid"))
        lease = self._acquire(config, Attrs(self._external.public_ip))
        region = self._ask("placement/availability-zone", "error getting EC2 region name")[:-1]
        instance = self._ask("instance-id", "error getting EC2 instance ID")
        ec2 = client(region)
        card = self._card(ec2, instance)
        self._log(f"Found {card['NetworkInterfaceId']} that has {self._external.address} IP address.")
        self._disable_check(ec2, card["NetworkInterfaceId"])
        self._log(f"Route table configured: {str(configured is not None).lower()}")
        if configured is None:
            configured = (self._detect(ec2, card),)
            self._log(f"Found route table {configured[0]}.")
        for table in configured:
            self._remove_blackholes(ec2, table, config.network)
            self._replace(ec2, table, lease.subnet, card["NetworkInterfaceId"])
        return AwsVpcNetwork(lease, self._external.mtu)

    def _ask(self, path: str, trouble: str) -> str:
        try:
            return metadata.call("GET", f"{self._about}/{path}")
        except BootError as error:
            raise BootError(f"{trouble}: {error}; aws-vpc works on EC2 instances only, and in a lab whose topology asks for it") from error

    def _card(self, ec2: Any, instance: str) -> Mapping[str, Any]:
        trouble = f"unable to find ENI that matches the {self._external.address} IP address"
        with _explained(trouble):
            found = ec2.describe_instances(InstanceIds=[instance])
        cards = [card for each in found["Reservations"] for one in each["Instances"] for card in one["NetworkInterfaces"]]
        card = card_with(cards, self._external.address)
        if card is None:
            raise BootError(f"{trouble}: the instance {instance} has no such interface; name the right one with --iface")
        return card

    def _disable_check(self, ec2: Any, card: str) -> None:
        try:
            with _explained(f"failed to disable SourceDestCheck on {card}"):
                ec2.modify_network_interface_attribute(NetworkInterfaceId=card, SourceDestCheck={"Value": False})
        except BootError as error:  # flannel goes on: somebody with more rights may have done it
            self._log(str(error))

    def _detect(self, ec2: Any, card: Mapping[str, Any]) -> str:
        """The table of the interface's VPC subnet, else the VPC's main one."""
        with _explained(f"error describing routeTables for subnetID {card['SubnetId']}"):
            own = ec2.describe_route_tables(Filters=_filters({"association.subnet-id": card["SubnetId"]}))["RouteTables"]
            main = {"association.main": "true", "vpc-id": card["VpcId"]}
            found = own or ec2.describe_route_tables(Filters=_filters(main))["RouteTables"]
        if not found:
            raise BootError(f"main route table not found: the VPC {card['VpcId']} has none; set Backend.RouteTableID in the network config")
        return str(found[0]["RouteTableId"])

    def _remove_blackholes(self, ec2: Any, table: str, network: IPv4Network) -> None:
        try:
            with _explained(f"error describing route table {table}"):
                found = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
            for destination in blackholes((route for each in found for route in each["Routes"]), network):
                self._log(f"Removing blackhole route: {destination}")
                self._delete(ec2, table, destination)
        except BootError as error:  # flannel goes on: the next call fails if it is serious
            self._log(f"Error cleaning up blackhole routes: {error}")

    def _replace(self, ec2: Any, table: str, subnet: IPv4Network, card: str) -> None:
        """Delete and create, even where the right row is there: flannel v0.8 means to keep it, but compares pointers, which differ."""
        self._delete(ec2, table, str(subnet))
        with _explained(f"unable to add route {subnet}"):
            ec2.create_route(RouteTableId=table, NetworkInterfaceId=card, DestinationCidrBlock=str(subnet))
        self._log(f"Route added to table {table}: {subnet} - {card}.")

    def _delete(self, ec2: Any, table: str, destination: str) -> None:
        from botocore.exceptions import ClientError

        with _explained(f"error deleting existing route for {destination}"):
            try:
                ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidRoute.NotFound":
                    raise


class AwsVpcNetwork(AllocNetwork):
    """See lab.flannel.backends.base.Network."""

    def stats(self) -> str:
        """There is nothing to count here."""
        return "aws-vpc forwards nothing itself: the VPC's route table does"


def route_tables(option: object) -> tuple[str, ...] | None:
    """Backend.RouteTableID: one table, several since v0.8, or None to look for the subnet's own. Raises UsageError."""
    if option is None:
        return None
    tables = [option] if isinstance(option, str) else option
    if not isinstance(tables, list) or not all(isinstance(table, str) and table for table in tables):
        raise UsageError(f"Unexpected RouteTableID type. Must be string or array of strings: {option!r}; write it like rtb-0a1b2c3d")
    return tuple(tables)


def card_with(cards: Sequence[Mapping[str, Any]], address: IPv4Address) -> Mapping[str, Any] | None:
    """The network interface that has this private address, among those of an instance."""
    wanted = str(address)
    for card in cards:
        if wanted in (each["PrivateIpAddress"] for each in card["PrivateIpAddresses"]):
            return card
    return None


def blackholes(routes: Iterable[Mapping[str, Any]], network: IPv4Network) -> list[str]:
    """The destinations inside the pod network whose routes lead to machines that are gone."""
    dead = (route.get("DestinationCidrBlock") for route in routes if route["State"] == "blackhole")
    return [destination for destination in dead if destination and IPv4Network(destination).network_address in network]


def client(region: str) -> Any:
    """A client of the EC2 API at the address in AWS_ENDPOINT_URL. Raises UsageError without it, MachineError without boto3."""
    endpoint = os.environ.get(ENDPOINT)
    if not endpoint:
        raise UsageError(f"the variable {ENDPOINT} does not say where the EC2 API is; in a lab it is http://{metadata.HOST}")
    return _client(region, endpoint)


@functools.cache
def _client(region: str, endpoint: str) -> Any:
    """Kept: the lab makes it once, before it forks the flannelds, and that saves each of them a third of a second."""
    try:
        import boto3
        from botocore.config import Config as Settings
    except ImportError as error:
        raise MachineError(f"{error}: the aws-vpc backend needs boto3; pip install 'kubernetes-network-lab[cloud]'") from error
    settings = Settings(retries={"max_attempts": RETRIES}, connect_timeout=5, read_timeout=10, proxies={})
    return boto3.client("ec2", region_name=region, endpoint_url=endpoint, config=settings)


@contextmanager
def _explained(trouble: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        advice = _ADVICE.get(told["Code"], "")
        raise BootError(f"{trouble}: {told['Code']}: {told['Message']}{advice}") from error
    except BotoCoreError as error:
        raise BootError(f"{trouble}: {error}") from error


def _filters(wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [value]} for name, value in wanted.items()]
