"""What a rule does, in one or two sentences, for every kind of rule that a node of the lab has. Pure.

A kind is recognised by its chain, its target and a few properties of the rule; the first kind that fits explains it. The texts are
templates, filled with what stands in the rule.
"""

from __future__ import annotations

from lab.errors import UsageError
from lab.kubeproxy import explanations, explanations_v133, rules
from lab.kubeproxy.explanations import Kind
from lab.model.text import Text

KINDS = (*explanations.KINDS, *explanations_v133.KINDS)
"""All kinds, v1.7's first: the first one that fits a rule explains it."""


def explain(line: str) -> Text:
    """What a line of iptables-save does. Raises UsageError for a line that is no rule, and for a rule of somebody else."""
    rule = rules.parse(line)
    kind = kind_of(rule)
    if kind is None:
        raise UsageError(f"`{line.strip()}` is no rule that kube-proxy, kubelet or flannel made, so there is no explanation for it")
    found = _values(rule)
    return Text(kind.text.en.format_map(found), kind.text.zh.format_map(found))


def kind_of(rule: rules.Rule) -> Kind | None:
    """The kind of a rule, None for a foreign one."""
    properties = _properties(rule)
    for kind in KINDS:
        if _fits(kind.chain, rule.chain) and _fits(kind.target, rule.target) and properties.issuperset(kind.properties):
            return kind
    return None


def _fits(pattern: str, name: str) -> bool:
    """Whether a chain or target is meant: by its name, or by its beginning when the pattern ends with a dash."""
    return name.startswith(pattern) if pattern.endswith("-") else name == pattern


def _properties(rule: rules.Rule) -> set[str]:
    """The rule's options as words, `! -s` for a negated one, and which address of the service its comment names."""
    found = {f"! {option.name}" if option.negated else option.name for option in rule.options()}
    found.update(what for what in ("cluster IP", "external IP", "loadbalancer IP") if rule.value("--comment").endswith(f" {what}"))
    return found


def _values(rule: rules.Rule) -> dict[str, str]:
    """What the templates may name. `service`: namespace/name, with `:port` for a port that has a name."""
    service = next((word for word in rule.value("--comment").split() if "/" in word), "").rstrip(":")
    seconds = int(rule.value("--seconds") or 0)
    return {
        "chain": rule.chain,
        "target": rule.target,
        "service": service,
        "source": rule.value("-s").removesuffix("/32"),
        "destination": rule.value("-d").removesuffix("/32"),
        "port": rule.value("--dport"),
        "protocol": rule.value("-p").upper(),
        "percent": f"{float(rule.value('--probability') or 1) * 100:.5g}",
        "backend": rule.value("--to-destination"),
        "mark": (rule.value("--mark") or rule.value("--set-xmark")).split("/")[0],
        "minutes": str(seconds // 60),
    }
