"""The caller's side of EC2's query protocol, on answers as the API words them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from urllib.parse import parse_qs

import pytest

from lab.cloud import ec2
from lab.cloud.ec2 import Card, Ec2, Ec2Error
from lab.cloud.routes import Row

CARD = """<item><networkInterfaceId>{id}</networkInterfaceId><privateIpAddress>{address}</privateIpAddress>
<attachment><instanceId>{instance}</instanceId></attachment><sourceDestCheck>{check}</sourceDestCheck></item>"""
ROUTE = "<item><destinationCidrBlock>{to}</destinationCidrBlock>{via}<origin>{origin}</origin></item>"


def answering(*answers: str, status: int = 200) -> tuple[Ec2, list[dict[str, list[str]]]]:
    """A client whose API gives these answers one after the other, and the forms that it was sent."""
    asked: list[dict[str, list[str]]] = []
    left = list(answers)

    def send(body: bytes) -> tuple[int, bytes]:
        asked.append(parse_qs(body.decode()))
        return status, f'<R xmlns="http://ec2.amazonaws.com/doc/2016-11-15">{left.pop(0)}</R>'.encode()

    return Ec2(send), asked


def test_cards_are_those_of_instances() -> None:
    cards = CARD.format(id="eni-1", address="10.0.0.1", instance="i-1", check="true")
    cards += CARD.format(id="eni-2", address="10.0.0.2", instance="i-2", check="false")
    cards += "<item><networkInterfaceId>eni-3</networkInterfaceId></item>"
    client, asked = answering(f"<networkInterfaceSet>{cards}</networkInterfaceSet>")
    found = client.cards()
    assert found == {
        "eni-1": Card("eni-1", "i-1", IPv4Address("10.0.0.1"), True),
        "eni-2": Card("eni-2", "i-2", IPv4Address("10.0.0.2"), False),
    }
    assert asked == [{"Action": ["DescribeNetworkInterfaces"], "Version": [ec2.VERSION]}]


def test_rows_lead_to_cards_or_nowhere_and_others_do_not_count() -> None:
    routes = ROUTE.format(to="10.0.0.0/16", via="<gatewayId>local</gatewayId>", origin="CreateRouteTable")
    routes += ROUTE.format(to="10.244.1.0/24", via="<networkInterfaceId>eni-1</networkInterfaceId>", origin="CreateRoute")
    routes += ROUTE.format(to="10.244.2.0/24", via="<networkInterfaceId>eni-9</networkInterfaceId>", origin="CreateRoute")
    client, asked = answering(f"<routeTableSet><item><routeSet>{routes}</routeSet></item></routeTableSet>")
    cards = {"eni-1": Card("eni-1", "i-1", IPv4Address("10.0.0.1"), True)}
    assert client.rows("vpc-1", cards) == [
        Row(IPv4Network("10.244.1.0/24"), IPv4Address("10.0.0.1")),
        Row(IPv4Network("10.244.2.0/24"), None),
    ]
    assert asked[0]["Filter.1.Name"] == ["vpc-id"] and asked[0]["Filter.1.Value.1"] == ["vpc-1"]


@pytest.mark.parametrize(("count", "full"), [(ec2.LIMIT - 1, False), (ec2.LIMIT, True)])
def test_a_table_is_full_at_fifty(count: int, full: bool) -> None:
    routes = ROUTE.format(to="", via="", origin="CreateRoute") * count + ROUTE.format(to="", via="", origin="CreateRouteTable")
    client, _ = answering(f"<routeTableSet><item><routeSet>{routes}</routeSet></item></routeTableSet>")
    assert client.is_full("rtb-1") is full


def test_a_refusal_has_its_code_and_words() -> None:
    client, _ = answering("<Errors><Error><Code>InvalidRoute.NotFound</Code><Message>no such route</Message></Error></Errors>", status=400)
    with pytest.raises(Ec2Error, match="^InvalidRoute.NotFound: no such route$") as caught:
        client.call("DeleteRoute")
    assert caught.value.code == "InvalidRoute.NotFound"


def test_what_the_stand_in_refuses_reads_as_a_refusal() -> None:
    root = ec2.parse(ec2.refusal("RouteLimitExceeded", "too many"))
    assert (ec2.text(root, "Code"), ec2.text(root, "Message")) == ("RouteLimitExceeded", "too many")


def test_no_xml_is_no_crash() -> None:
    client = Ec2(lambda body: (500, b"<html>oops"))
    with pytest.raises(Ec2Error, match="500: <html>oops"):
        client.call("DescribeVpcs")
