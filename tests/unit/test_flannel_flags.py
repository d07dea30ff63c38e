"""flanneld's flags, its choice of interface, its files and its log lines."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError, UsageError
from lab.flannel import flags, interface, masquerade, subnetfile
from lab.flannel.backends import base
from lab.flannel.daemon import main
from lab.flannel.links import Link
from lab.flannel.log import GlogFormatter
from lab.flannel.subnetfile import SubnetFile

# --- flags ------------------------------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_flannel_08() -> None:
    given = flags.parse([], {})
    assert given.etcd_endpoints == ("http://127.0.0.1:4001", "http://127.0.0.1:2379")
    assert (given.etcd_prefix, str(given.subnet_file)) == ("/coreos.com/network", "/run/flannel/subnet.env")
    assert (given.iface, given.iface_regex, given.public_ip) == ((), (), None)
    assert (given.subnet_lease_renew_margin, given.ip_masq, given.healthz_ip, given.healthz_port) == (60, False, "0.0.0.0", 0)
    assert (given.version, given.verbosity) == (False, 0)
    assert given.datapath == "fast", "the one flag that is not flannel's"


def test_one_dash_two_dashes_and_equals_signs() -> None:
    text = (
        "-etcd-endpoints=http://a:1,http://b:2 --iface eth0 -iface=10.0.0.1 --iface-regex ^eth -ip-masq -v 2 --public-ip 1.2.3.4"
    )
    given = flags.parse(text.split(), {})
    assert given.etcd_endpoints == ("http://a:1", "http://b:2")
    assert (given.iface, given.iface_regex) == (("eth0", "10.0.0.1"), ("^eth",))
    assert (given.ip_masq, given.verbosity, given.public_ip) == (True, 2, IPv4Address("1.2.3.4"))
    assert not flags.parse(["--ip-masq=false"], {}).ip_masq
    assert flags.parse(["-datapath=plain"], {}).datapath == flags.parse([], {"FLANNELD_DATAPATH": "plain"}).datapath == "plain"


def test_the_environment_stands_in_for_flags_but_never_overrides_them() -> None:
    environ = {
        "FLANNELD_IP_MASQ": "true",
        "FLANNELD_IFACE": "eth1",
        "FLANNELD_SUBNET_LEASE_RENEW_MARGIN": "5",
        "FLANNELD_PUBLIC_IP": "",
    }
    given = flags.parse(["--iface", "eth0"], environ)
    assert (given.ip_masq, given.iface, given.subnet_lease_renew_margin, given.public_ip) == (True, ("eth0",), 5, None)


@pytest.mark.parametrize(
    ("arguments", "environ", "text"),
    [
        (["--nonsense"], {}, "unrecognized arguments: --nonsense"),
        (["stray"], {}, "unrecognized arguments: stray"),
        (["--datapath", "quick"], {}, "there is no data path 'quick'; --datapath takes fast or plain"),
        (["--iface"], {}, "expected one argument"),
        (["--ip-masq=maybe"], {}, "'maybe' is neither true nor false"),
        (["--healthz-port", "x"], {}, "invalid int value"),
        (["--healthz-port", "70000"], {}, "70000 is not a port"),
        (["--public-ip", "1.2.3"], {}, "invalid public IP address: 1.2.3"),
        (["--iface-regex", "("], {}, "is no regular expression"),
        (["--subnet-lease-renew-margin", "0"], {}, "out of acceptable range: 0"),
        ([], {"FLANNELD_IP_MASQ": "maybe"}, "FLANNELD_IP_MASQ: 'maybe' is neither true nor false"),
        ([], {"FLANNELD_HEALTHZ_PORT": "x"}, "FLANNELD_HEALTHZ_PORT: invalid literal"),
    ],
)
def test_wrong_flags(arguments: list[str], environ: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        flags.parse(arguments, environ)


def test_the_entry_returns_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "v0.8.0" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "--subnet-lease-renew-margin" in capsys.readouterr().out
    assert main(["--etcd-endpoints", "ftp://x", "--iface", "lo"]) == 2
    assert "etcd endpoint 'ftp://x' is not an http URL" in capsys.readouterr().err


# --- interface --------------------------------------------------------------------------------------------------------------------

LINKS = (
    Link("lo", 1, 65536, (IPv4Address("127.0.0.1"),)),
    Link("eth0", 2, 1500, (IPv4Address("192.168.1.2"), IPv4Address("192.168.9.9"))),
    Link("eth1", 3, 9000, (IPv4Address("10.0.0.2"),)),
    Link("bare", 4, 1500),
)


def found(wanted: list[str], patterns: list[str], default: int | None = 2, public: str = "") -> interface.External:
    return interface.choose(LINKS, default, wanted, patterns, IPv4Address(public) if public else None, lambda line: None)


@pytest.mark.parametrize(
    ("wanted", "patterns", "name", "address"),
    [
        ([], [], "eth0", "192.168.1.2"),
        (["eth1"], [], "eth1", "10.0.0.2"),
        (["192.168.9.9"], [], "eth0", "192.168.9.9"),
        (["nosuch0", "bare", "eth1"], ["eth0"], "eth1", "10.0.0.2"),
        ([], ["^10\\."], "eth1", "10.0.0.2"),
        ([], ["h1$"], "eth1", "10.0.0.2"),
        (["nosuch0"], ["nosuch", "0\\.0\\.2"], "eth1", "10.0.0.2"),
    ],
)
def test_the_interface(wanted: list[str], patterns: list[str], name: str, address: str) -> None:
    external = found(wanted, patterns)
    assert (external.name, str(external.address), external.public_ip) == (name, address, external.address)


def test_a_public_address_is_published_instead() -> None:
    external = found([], [], public="203.0.113.5")
    assert (str(external.address), str(external.public_ip), external.mtu) == ("192.168.1.2", "203.0.113.5", 1500)


def test_no_interface() -> None:
    with pytest.raises(interface.NoInterface, match="Failed to find any valid interface to use: failed to get default interface"):
        found([], [], default=None)
    with pytest.raises(
        interface.NoInterface, match=r"matches the interfaces and/or regexes.*eth0 \(192.168.1.2, 192.168.9.9\).*bare \(no IPv4"
    ):
        found(["nosuch0", "1.1.1.1"], ["bare"])


def test_the_lines_are_flannels() -> None:
    lines: list[str] = []
    interface.choose(LINKS, 2, [], [], None, lines.append)
    assert lines == [
        "Determining IP address of default interface",
        "Using interface with name eth0 and address 192.168.1.2",
        "Defaulting external address to interface address (192.168.1.2)",
    ]


# --- subnet.env -------------------------------------------------------------------------------------------------------------------

CONTENT = SubnetFile(IPv4Network("10.244.0.0/16"), IPv4Interface("10.244.1.1/24"), 1472, True)
TEXT = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"


def test_subnet_env_is_flannels(tmp_path: Path) -> None:
    made = SubnetFile.of(IPv4Network("10.244.0.0/16"), IPv4Network("10.244.1.0/24"), 1472, True)
    assert (made, str(made)) == (CONTENT, TEXT)
    path = tmp_path / "flannel" / "subnet.env"
    subnetfile.write(path, made)
    assert path.read_text() == TEXT
    assert list(path.parent.iterdir()) == [path]
    assert subnetfile.parse(TEXT) == CONTENT
    assert subnetfile.read_previous(path) == IPv4Network("10.244.1.0/24") == CONTENT.subnet


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            [
                "FLANNEL_NETWORK: is missing",
                "FLANNEL_SUBNET: is missing",
                "FLANNEL_MTU: is missing",
                "FLANNEL_IPMASQ: is missing",
            ],
        ),
        (TEXT.replace("1472", "big"), ["FLANNEL_MTU: 'big' is not an MTU"]),
        (TEXT.replace("true", "yes"), ["FLANNEL_IPMASQ: Invalid value of FLANNEL_IPMASQ: yes"]),
        (TEXT.replace("10.244.1.1/24", "x"), ["FLANNEL_SUBNET: Expected 4 octets in 'x'"]),
    ],
)
def test_broken_subnet_env(text: str, expected: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        subnetfile.parse(text, "node1:/run/flannel/subnet.env")
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"node1:/run/flannel/subnet.env: {start}")


@given(st.text() | st.sampled_from(TEXT.splitlines()).flatmap(lambda line: st.text(max_size=9).map(lambda tail: line + tail)))
def test_any_subnet_env_is_read_or_refused(text: str) -> None:
    try:
        subnetfile.parse(text)
    except InputError as error:
        assert error.problems


def test_no_previous_subnet(tmp_path: Path) -> None:
    path = tmp_path / "subnet.env"
    assert subnetfile.read_previous(path) is None
    path.write_bytes(b"\xff\xfeFLANNEL_SUBNET=oops")
    assert subnetfile.read_previous(path) is None


# --- rules, log, backends ---------------------------------------------------------------------------------------------------------

RULES = masquerade.rules(IPv4Network("10.244.0.0/16"), IPv4Network("10.244.1.0/24"))


def test_the_four_rules_of_flannel_08() -> None:
    assert [" ".join(rule) for rule in RULES] == [
        "-s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
        "-s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
        "! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN",
        "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
    ]


def test_only_missing_rules_are_added() -> None:
    listing = "-P POSTROUTING ACCEPT\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
    assert masquerade.missing(RULES, listing) == RULES
    listing += "".join(f"-A POSTROUTING {' '.join(rule)}\n" for rule in RULES[:3])
    assert masquerade.missing(RULES, listing) == RULES[3:]
    assert masquerade.missing(RULES, listing + "-A POSTROUTING " + " ".join(RULES[3])) == ()


def test_log_lines_look_like_glog() -> None:
    record = logging.LogRecord("flanneld", logging.WARNING, "/x/daemon.py", 42, "Failed: %s", ("why",), None)
    assert re.fullmatch(r"W\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ daemon\.py:42\] Failed: why", GlogFormatter().format(record))


def test_backends_are_found_by_type() -> None:
    assert base.maker("udp").__name__ == "UdpBackend"
    assert base.maker("alloc").__name__ == "AllocBackend"
    with pytest.raises(
        UsageError, match=r"unknown backend type: pigeon; set Backend.Type in the network config to one of alloc, aws-vpc, gce, host-gw, udp, vxlan"
    ):
        base.maker("pigeon")
