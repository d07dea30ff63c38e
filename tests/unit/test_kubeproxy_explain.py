"""lab.kubeproxy.rules and explain: rules taken apart, as iptables-save prints them, and in words."""

from __future__ import annotations

import random
from ipaddress import IPv4Network

import pytest

from lab.errors import UsageError
from lab.flannel import masquerade
from lab.kubeproxy import rules
from lab.kubeproxy.explain import explain
from lab.kubeproxy.rules import Match, Option, Rule, parse, saved

C = '-m comment --comment "default/nginx-service:"'
CATCH = (
    '-A KUBE-SERVICES -d 10.105.211.16/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp --dport 8000'
    " -j KUBE-SVC-GKN7Y2BSGW4NJTYL"
)


def test_a_rule_taken_apart() -> None:
    assert parse("-A KUBE-SERVICES ! -s 10.244.0.0/16 -p tcp -m comment --comment 'a b' -m tcp --dport 80 -j REJECT --reject-with x") == Rule(
        "KUBE-SERVICES",
        (Option("-s", ("10.244.0.0/16",), True), Option("-p", ("tcp",))),
        (Match("comment", (Option("--comment", ("a b",)),)), Match("tcp", (Option("--dport", ("80",)),))),
        "REJECT",
        (Option("--reject-with", ("x",)),),
    )


def test_counters_in_front_and_long_names_mean_the_same() -> None:
    assert parse("[12:720] -A X --source 10.0.0.1/32 -j RETURN") == parse("-A X -s 10.0.0.1/32 -j RETURN")


@pytest.mark.parametrize("comment", ["-j DROP", "!", "--dport"])
def test_a_comment_may_look_like_an_option(comment: str) -> None:
    rule = parse(f'-A X -m comment --comment "{comment}" -j RETURN')
    assert (rule.value("--comment"), rule.target) == (comment, "RETURN")


@pytest.mark.parametrize("line", ["", "COMMIT", ":X - [0:0]", "# iptables", "-N X", "-A", "-A X -m", "-A X -j", "-A X 'open", "-A X --dport 80"])
def test_what_is_no_rule(line: str) -> None:
    with pytest.raises(UsageError, match="is no iptables rule"):
        parse(line)


@pytest.mark.parametrize(
    "given, printed",
    [
        (
            f"-A S {C} -m tcp -p tcp -d 1.2.3.4/32 --dport 80 ! -s 10.0.0.0/8 -j X",
            f"-A S ! -s 10.0.0.0/8 -d 1.2.3.4/32 -p tcp {C} -m tcp --dport 80 -j X",
        ),
        ("-A S -m comment --comment plain-word_1 -j X", "-A S -m comment --comment plain-word_1 -j X"),
        ('-A S -m comment --comment "a \\"b\\"" -j X', '-A S -m comment --comment "a \\"b\\"" -j X'),
        ("-A S -s 0.0.0.0/0 -j X", "-A S -j X"),
        ("-A S -j REJECT", "-A S -j REJECT --reject-with icmp-port-unreachable"),
        ("-A S -j MARK --set-xmark 0x00004000/0x00004000", "-A S -j MARK --set-xmark 0x4000/0x4000"),
        ("-A S -m mark --mark 0x00000008/0x00000008 -j X", "-A S -m mark --mark 0x8/0x8 -j X"),
        (
            "-A S -m recent --name K --rcheck --seconds 10800 --reap -j K",
            "-A S -m recent --rcheck --seconds 10800 --reap --name K --mask 255.255.255.255 --rsource -j K",
        ),
        ("-A S -m recent --name K --set -j X", "-A S -m recent --set --name K --mask 255.255.255.255 --rsource -j X"),
    ],
)
def test_as_iptables_save_prints_it(given: str, printed: str) -> None:
    assert saved(parse(given)) == printed
    assert saved(parse(printed)) == printed


PRINTED = {
    "0.50000": "0.50000000000",
    "0.33333": "0.33332999982",
    "0.25000": "0.25000000000",
    "0.20000": "0.20000000019",
    "0.16667": "0.16667000018",
    "0.14286": "0.14286000002",
    "0.12500": "0.12500000000",
    "0.11111": "0.11110999994",
    "0.10000": "0.10000000009",
    "0.3333333333": "0.33333333349",
}
"""Read off a kernel."""


@pytest.mark.parametrize("given", PRINTED)
def test_probabilities_as_the_kernel_keeps_them(given: str) -> None:
    line = "-A S -m statistic --mode random --probability {} -j X"
    assert saved(parse(line.format(given))) == line.format(PRINTED[given])


def test_an_explanation_names_what_stands_in_the_rule() -> None:
    text = explain(CATCH)
    for said in (text.en, text.zh):
        assert all(word in said for word in ("default/nginx-service", "10.105.211.16", "TCP", "8000", "KUBE-SVC-GKN7Y2BSGW4NJTYL"))
        assert "/32" not in said and "nginx-service:" not in said


@pytest.mark.parametrize(
    "line, said",
    [
        (f"-A KUBE-SVC-A {C} -m statistic --mode random --probability 0.33332999982 -j KUBE-SEP-B", "33.333 %"),
        (f"-A KUBE-SVC-A {C} -j KUBE-SEP-B", "Whatever is left goes to KUBE-SEP-B"),
        (f"-A KUBE-SVC-A {C} -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-B --mask x --rsource -j KUBE-SEP-B", "180 minutes"),
        (f"-A KUBE-SEP-B -s 10.244.1.53/32 {C} -j KUBE-MARK-MASQ", "hairpin: if the client is 10.244.1.53 itself"),
        (f"-A KUBE-SEP-B -p tcp {C} -m tcp -j DNAT --to-destination 10.244.1.53:80", "The destination becomes 10.244.1.53:80"),
        ("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000", "the mark 0x4000 on"),
    ],
)
def test_what_is_said(line: str, said: str) -> None:
    assert said in explain(line).en


def test_flannels_four_rules_are_explained_each_in_its_own_words() -> None:
    lines = ["-A POSTROUTING " + " ".join(rule) for rule in masquerade.rules(IPv4Network("10.244.0.0/16"), IPv4Network("10.244.1.0/24"))]
    texts = [explain(line) for line in lines]
    assert len({text.en for text in texts}) == len({text.zh for text in texts}) == 4
    assert all(text.en.startswith("flannel: ") and "{" not in text.en + text.zh for text in texts)
    assert "keeps its source address: the pod sees the real client" in texts[2].en


@pytest.mark.parametrize("line", ["-A DOCKER -j RETURN", "-A POSTROUTING -j MASQUERADE", "-A KUBE-SVC-A -j DROP"])
def test_foreign_rules_have_no_explanation(line: str) -> None:
    with pytest.raises(UsageError, match="no rule that kube-proxy, kubelet or flannel made"):
        explain(line)


def test_the_order_of_words_does_not_matter() -> None:
    """Plain options may stand anywhere before the target; what the kernel prints stays the same."""
    match = ["-d 10.105.211.16/32", "-p tcp", '-m comment --comment "default/nginx-service: cluster IP"']
    dice = random.Random(1)
    for _ in range(6):
        dice.shuffle(match)
        assert rules.saved(parse(f"-A KUBE-SERVICES {' '.join(match)} -m tcp --dport 8000 -j KUBE-SVC-GKN7Y2BSGW4NJTYL")) == CATCH
