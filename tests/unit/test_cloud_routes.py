"""What a cloud's table means for the router: pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from lab.cloud.routes import Changes, Instance, Row, blocks, changes, guard, table

POD1, POD2, POD3 = (IPv4Network(f"10.244.{number}.0/24") for number in (1, 2, 3))
NODE1, NODE2 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


def test_the_first_row_for_a_destination_counts() -> None:
    assert table([Row(POD1, NODE1), Row(POD2, None), Row(POD1, NODE2)]) == {POD1: NODE1, POD2: None}


def test_only_what_differs_is_changed() -> None:
    now = {POD1: NODE1, POD2: NODE2}
    assert changes(now, now) == Changes((), ())
    assert changes(now, {POD2: None, POD3: NODE1}) == Changes((POD1,), (Row(POD2, None), Row(POD3, NODE1)))


TABLES = st.dictionaries(st.sampled_from([POD1, POD2, POD3]), st.sampled_from([NODE1, NODE2, None]))


@given(TABLES, TABLES)
def test_the_changes_lead_to_what_is_wanted(now: dict[IPv4Network, IPv4Address | None], wanted: dict[IPv4Network, IPv4Address | None]) -> None:
    todo = changes(now, wanted)
    after = {to: via for to, via in now.items() if to not in todo.remove} | {row.destination: row.via for row in todo.put}
    assert after == wanted
    assert all(now.get(row.destination, row) != row.via for row in todo.put), "what is right is left alone"


def test_who_may_not_forward_is_held_back_both_ways() -> None:
    text = guard("CHECK", [Instance(NODE2, False), Instance(NODE1, True)], [Row(POD1, NODE1), Row(POD2, NODE2), Row(POD3, NODE2)])
    assert text.splitlines() == [
        "*filter",
        ":CHECK - [0:0]",
        "-A CHECK -m mac --mac-source 02:42:0a:00:00:02 ! -s 10.0.0.2 -j DROP",
        "-A CHECK -d 10.244.2.0/24 -j DROP",
        "-A CHECK -d 10.244.3.0/24 -j DROP",
        "COMMIT",
    ]
    assert "-A" not in guard("CHECK", [Instance(NODE1, True)], [Row(POD1, NODE1)])


def test_a_vpc_is_one_block_where_that_is_possible() -> None:
    zenlin = [IPv4Network(text) for text in ("10.229.42.0/23", "10.229.52.0/23", "10.229.44.0/23", "10.229.42.0/23")]
    assert blocks(zenlin) == (IPv4Network("10.229.32.0/19"),)
    apart = [IPv4Network("10.0.0.0/24"), IPv4Network("172.16.0.0/24"), IPv4Network("10.0.0.0/24")]
    assert blocks(apart) == (apart[0], apart[1])
    assert blocks(apart[:1]) == (apart[0],)
