"""The cluster's DNS: the zone that objects make, and packets, hostile ones included."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.workloads import dns as server
from lab.workloads import dnszone, images
from tests.fakeapi import FakeApi
from tests.waiting import until


def service(name: str, cluster_ip: str = "", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": cluster_ip, **spec}}


def endpoints(name: str, *addresses: dict[str, str], unready: tuple[str, ...] = (), ports: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    subset = {"addresses": list(addresses), "notReadyAddresses": [{"ip": ip} for ip in unready], "ports": list(ports)}
    return {"metadata": {"name": name, "namespace": "default"}, "subsets": [subset]}


HTTP = {"name": "http", "port": 8000, "protocol": "TCP"}
SERVICES = [
    service("nginx-service", "10.105.211.16", ports=[HTTP, {"port": 9}]),
    service("kube-dns", "10.96.0.10", "kube-system", ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]),
    service("db", "None", ports=[{"name": "sql", "port": 5432}]),
    service("empty", "None"),
    service("world", type="ExternalName", externalName="www.example.com"),
    service("alias", type="ExternalName", externalName="nginx-service.default.svc.cluster.local"),
    service("ring", type="ExternalName", externalName="ring.default.svc.cluster.local."),
    service("pending"),
]
ENDPOINTS = [
    endpoints("nginx-service", {"ip": "10.244.1.53"}, {"ip": "10.244.2.199"}),
    endpoints(
        "db", {"ip": "10.244.1.7", "hostname": "db-0"}, {"ip": "10.244.2.8"}, unready=("10.244.2.9",), ports=({"name": "sql", "port": 5433},)
    ),
]
ZONE = dnszone.build(SERVICES, ENDPOINTS, serial=7)


def data(name: str, kind: str = "A") -> list[str]:
    return [record.data for record in ZONE.answer(name, kind).answer]


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("nginx-service.default.svc.cluster.local.", "A", ["10.105.211.16"]),
        ("NGINX-service.Default.SVC.cluster.local", "A", ["10.105.211.16"]),
        ("_http._tcp.nginx-service.default.svc.cluster.local", "SRV", ["0 100 8000 nginx-service.default.svc.cluster.local."]),
        ("_dns._udp.kube-dns.kube-system.svc.cluster.local", "SRV", ["0 100 53 kube-dns.kube-system.svc.cluster.local."]),
        ("db.default.svc.cluster.local", "A", ["10.244.1.7", "10.244.2.8"]),
        ("db-0.db.default.svc.cluster.local", "A", ["10.244.1.7"]),
        ("10-244-2-8.db.default.svc.cluster.local", "A", ["10.244.2.8"]),
        (
            "_sql._tcp.db.default.svc.cluster.local",
            "SRV",
            ["0 100 5433 db-0.db.default.svc.cluster.local.", "0 100 5433 10-244-2-8.db.default.svc.cluster.local."],
        ),
        ("10-244-1-53.default.pod.cluster.local", "A", ["10.244.1.53"]),
        ("16.211.105.10.in-addr.arpa", "PTR", ["nginx-service.default.svc.cluster.local."]),
        ("53.1.244.10.in-addr.arpa", "PTR", ["10-244-1-53.nginx-service.default.svc.cluster.local."]),
        ("7.1.244.10.in-addr.arpa", "PTR", ["db-0.db.default.svc.cluster.local."]),
        ("world.default.svc.cluster.local", "A", ["www.example.com."]),
        ("alias.default.svc.cluster.local", "A", ["nginx-service.default.svc.cluster.local.", "10.105.211.16"]),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
        ("cluster.local", "NS", ["ns.dns.cluster.local."]),
        ("ns.dns.cluster.local", "A", ["10.96.0.10"]),
        ("cluster.local", "SOA", ["ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 30"]),
    ],
)
def test_answers(name: str, kind: str, expected: list[str]) -> None:
    assert data(name, kind) == expected
    assert ZONE.answer(name, kind).code == dnszone.NOERROR


@pytest.mark.parametrize(
    "name, kind",
    [
        ("nginx-service.default.svc.cluster.local", "AAAA"),
        ("default.svc.cluster.local", "A"),
        ("default.pod.cluster.local", "A"),
        ("svc.cluster.local", "A"),
        ("_tcp.nginx-service.default.svc.cluster.local", "SRV"),
        ("empty.default.svc.cluster.local", "A"),
        ("alias.default.svc.cluster.local", "AAAA"),
        ("cluster.local", "A"),
    ],
)
def test_a_name_that_exists_without_such_a_record_is_no_error(name: str, kind: str) -> None:
    answer = ZONE.answer(name, kind)
    assert answer.code == dnszone.NOERROR and [record.type for record in answer.authority] == ["SOA"]


@pytest.mark.parametrize(
    "name",
    [
        "nothing.default.svc.cluster.local",
        "nginx-service.other.svc.cluster.local",
        "pending.default.svc.cluster.local",
        "10-244-2-9.db.default.svc.cluster.local",  # not ready
        "10-244-1.default.pod.cluster.local",
        "10-244-1-53.a.b.pod.cluster.local",
        "1.1.1.1.in-addr.arpa",
    ],
)
def test_what_does_not_exist_is_nxdomain_with_the_zones_soa(name: str) -> None:
    answer = ZONE.answer(name, "A")
    assert (answer.code, [record.type for record in answer.authority]) == (dnszone.NXDOMAIN, ["SOA"])


@pytest.mark.parametrize("name", ["www.example.com", "local", "xcluster.local", "", "."])
def test_what_lies_outside_is_refused(name: str) -> None:
    assert ZONE.answer(name, "A") == dnszone.Answer(dnszone.REFUSED)


def test_a_ring_of_names_has_an_end() -> None:
    assert len(data("ring.default.svc.cluster.local")) < 10


def test_unready_pods_are_found_when_the_service_wants_it() -> None:
    zone = dnszone.build([service("db", "None", publishNotReadyAddresses=True)], ENDPOINTS)
    assert "10.244.2.9" in [record.data for record in zone.answer("db.default.svc.cluster.local", "A").answer]


# --- packets ----------------------------------------------------------------------------------------------------------------------

BIG = dnszone.build(
    [service("big", "None")], [endpoints("big", *({"ip": f"10.244.{one // 250}.{one % 250 + 1}"} for one in range(2000)))]
)


def ask(name: str, kind: str = "A", limit: int | None = 512, zone: dnszone.Zone = ZONE, **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)
    wire = server.reply(query.to_wire(), zone.answer, limit)
    assert wire is not None and (limit is None or len(wire) <= max(limit, options.get("payload", 0)))
    answer = dns.message.from_wire(wire)
    assert query.is_response(answer)
    return answer


def test_an_answer_is_authoritative_and_keeps_the_questions_letters() -> None:
    answer = ask("Nginx-Service.default.svc.cluster.local")
    assert answer.flags & dns.flags.AA and answer.question[0].name.to_text().startswith("Nginx-Service")
    assert [(rrset.ttl, [str(one) for one in rrset]) for rrset in answer.answer] == [(30, ["10.105.211.16"])]


def test_outside_the_zone_is_refused_without_authority() -> None:
    answer = ask("www.example.com")
    assert answer.rcode() == dns.rcode.REFUSED and not answer.flags & dns.flags.AA


def test_srv_brings_the_addresses_of_its_targets_along() -> None:
    answer = ask("_sql._tcp.db.default.svc.cluster.local", "SRV")
    assert {str(one) for rrset in answer.additional for one in rrset} == {"10.244.1.7", "10.244.2.8"}


def test_what_does_not_fit_into_a_datagram_is_cut_off_and_tcp_has_it_all() -> None:
    name = "big.default.svc.cluster.local"
    for options in ({}, {"use_edns": 0, "payload": 1232}):
        cut = ask(name, zone=BIG, **options)
        assert cut.flags & dns.flags.TC and not cut.answer
    whole = ask(name, limit=None, zone=BIG)
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 2000


def test_edns_makes_room() -> None:
    zone = dnszone.build([service("m", "None")], [endpoints("m", *({"ip": f"10.244.1.{one}"} for one in range(1, 60)))])
    assert ask("m.default.svc.cluster.local", zone=zone).flags & dns.flags.TC
    answer = ask("m.default.svc.cluster.local", zone=zone, use_edns=0, payload=1232)
    assert len(answer.answer[0]) == 59 and answer.edns == 0


def test_addresses_come_in_another_order_each_time() -> None:
    seen = {str(list(ask("db.default.svc.cluster.local").answer[0])[0]) for _ in range(100)}
    assert seen == {"10.244.1.7", "10.244.2.8"}


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda query: query.set_opcode(dns.opcode.NOTIFY), dns.rcode.NOTIMP),
        (lambda query: query.question.clear(), dns.rcode.FORMERR),
        (lambda query: query.use_edns(1), dns.rcode.BADVERS),
    ],
)
def test_odd_questions(change: Any, code: int) -> None:
    query = dns.message.make_query("cluster.local", "A")
    change(query)
    wire = server.reply(query.to_wire(), ZONE.answer, 512)
    assert wire is not None and dns.message.from_wire(wire).rcode() == code


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_nobody_gets_the_whole_zone(kind: str) -> None:
    wire = dns.message.make_query("cluster.local", kind).to_wire()
    assert dns.message.from_wire(server.reply(wire, ZONE.answer, None) or b"").rcode() == dns.rcode.REFUSED


def test_answers_and_crumbs_get_nothing() -> None:
    query = dns.message.make_query("cluster.local", "A")
    assert server.reply(dns.message.make_response(query).to_wire(), ZONE.answer, 512) is None
    assert server.reply(b"\x00" * 11, ZONE.answer, 512) is None


@given(st.binary(max_size=600))
def test_no_packet_is_the_end(packet: bytes) -> None:
    wire = server.reply(packet, ZONE.answer, 512)
    assert wire is None or wire[:2] == packet[:2]


@given(st.binary(max_size=80), st.integers(0, 60))
def test_no_broken_question_is_the_end(noise: bytes, where: int) -> None:
    wire = bytearray(dns.message.make_query("nginx-service.default.svc.cluster.local", "A", use_edns=0).to_wire())
    wire[where : where + len(noise)] = noise
    server.reply(bytes(wire), ZONE.answer, 512)


@given(st.lists(st.sampled_from(["a-b", "_x", "cluster", "local", "svc", "pod", "default", "1-2-3-4", "in-addr", "arpa", "*", "\\000"]), max_size=9))
def test_no_question_is_the_end(labels: list[str]) -> None:
    for kind in ("A", "SRV", "PTR", "ANY"):
        assert ZONE.answer(".".join(labels), kind).code in (dnszone.NOERROR, dnszone.NXDOMAIN, dnszone.REFUSED)


# --- the server on sockets ---------------------------------------------------------------------------------------------------------


def test_the_server_follows_the_apiserver_and_no_client_ends_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FakeApi() as api, subprocess.Popen(
        [sys.executable, images.__file__.replace("images", "__main__"), "dns", "--kube-master-url", api.url]
        + ["--dns-port", str(port), "--dns-bind-address", "127.0.0.1"],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin"},
    ) as process:
        try:
            api.put("services", SERVICES[0])
            assert process.stdout is not None and "serving DNS" in process.stdout.readline()
            _talk(api, port)
        finally:
            process.kill()


def _talk(api: FakeApi, port: int) -> None:
    query = dns.message.make_query("nginx-service.default.svc.cluster.local", "A")
    for exchange in (dns.query.udp, dns.query.tcp):
        until(lambda exchange=exchange: exchange(query, "127.0.0.1", 5, port).answer, "the service's answer")  # type: ignore[misc]
    new = dns.message.make_query("new.default.svc.cluster.local", "A")
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"\xff\xffGET / HTTP/1.1")
        assert dns.query.udp(new, "127.0.0.1", 5, port).rcode() == dns.rcode.NXDOMAIN
    api.put("services", service("new", "10.96.7.7"))
    until(lambda: dns.query.udp(new, "127.0.0.1", 5, port).answer, "the new service's answer")
    api.delete("services", "new", "default")
    until(lambda: dns.query.udp(new, "127.0.0.1", 5, port).rcode() == dns.rcode.NXDOMAIN, "its end")
    wire = query.to_wire()
    with socket.create_connection(("127.0.0.1", port)) as patient, patient.makefile("rb") as reader:
        patient.sendall((struct.pack("!H", len(wire)) + wire) * 2)
        for _ in range(2):
            assert reader.read(struct.unpack("!H", reader.read(2))[0])[:2] == wire[:2]


@pytest.mark.parametrize("arguments, text", [(["--kube-master-url", "https://a"], "is no apiserver's address"), ([], "--kube-master-url")])
def test_wrong_arguments(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert server.main(arguments) == 1
    assert text in capsys.readouterr().err
