"""The four services, and helpers that follow one request through them."""

from __future__ import annotations

import json

PRODUCTPAGE, DETAILS, REVIEWS, RATINGS = "10.104.17.86", "10.111.84.67", "10.110.130.11", "10.100.168.14"
VIPS = {"details": DETAILS, "productpage": PRODUCTPAGE, "ratings": RATINGS, "reviews": REVIEWS}
URL = f"http://{PRODUCTPAGE}:9080/api/v1/products/0"
PAGE_POD = "productpage-v1-4256385220-nvq0d"


def ask(lab):
    """One request for the product: the answer."""
    return json.loads(lab.caller.run(f"curl -s -m 20 {URL}", timeout=25).expect_status().stdout)


def ask_with_stars(lab):
    """Requests until a version of reviews that asks for ratings has answered, 40 at most; conntrack knows only the last one: its `pods`."""
    for _ in range(40):
        for node in lab.cluster.nodes:
            node.run("conntrack -D -p tcp --orig-port-dst 9080", timeout=5.0)
        answer = ask(lab)
        if answer["pods"]["ratings"]:
            break
    return answer["pods"]


def caught(lab, node, service):
    """How many connections to the service this node's rules have caught so far."""
    shown = lab.node(node).run(f"iptables-save -c -t nat | grep 'KUBE-SERVICES -d {VIPS[service]}/32 .*-j KUBE-SVC'").stdout
    return int(shown.removeprefix("[").partition(":")[0])


def scale(lab, deployment, count):
    """Give a deployment so many pods, and wait until all is done."""
    lab.operator.run(f"kubectl scale deployment {deployment} --replicas={count}").expect_status()
    lab.operator.run(f"kubectl rollout status deployment {deployment} --timeout=60s", timeout=70).expect_status()
