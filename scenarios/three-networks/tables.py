"""The article's tables, and how what kubectl prints is compared with them."""

from __future__ import annotations

import re

from lab.scenario import checks

NODES = """\
NAME          STATUS    AGE       VERSION
zenlin        Ready     19d       v1.7.3
zenlinnode1   Ready     19d       v1.7.3
zenlinnode2   Ready     19d       v1.7.3
"""
SERVICES = """\
NAME            CLUSTER-IP       EXTERNAL-IP   PORT(S)                      AGE
details         10.111.84.67     <none>        9080/TCP                     3d
grafana         10.110.131.254   <none>        3000/TCP                     7d
istio-egress    10.99.236.93     <none>        80/TCP                       7d
kubernetes      10.96.0.1        <none>        443/TCP                      19d
nginx-service   10.105.211.16    <none>        8000/TCP                     9d
php-apache      10.106.156.64    <none>        80/TCP                       13d
productpage     10.104.17.86     <none>        9080/TCP                     3d
prometheus      10.109.48.180    <none>        9090/TCP                     7d
ratings         10.100.168.14    <none>        9080/TCP                     3d
reviews         10.110.130.11    <none>        9080/TCP                     3d
servicegraph    10.104.205.192   <none>        8088/TCP                     7d
zipkin          10.105.183.37    <nodes>       9411:30305/TCP               3d
"""
PODS = """\
NAME                                        READY     STATUS    RESTARTS   AGE       IP             NODE
details-v1-3006205406-dnm69                 2/2       Running   0          3d        10.244.1.137   zenlinnode1
grafana-1011650190-1f9h4                    1/1       Running   0          7d        10.244.1.114   zenlinnode1
nginx-deployment-1885164871-dzls7           1/1       Running   0          9d        10.244.1.53    zenlinnode1
nginx-deployment-1885164871-q37zh           1/1       Running   0          9d        10.244.2.199   zenlinnode2
productpage-v1-4256385220-nvq0d             2/2       Running   0          3d        10.244.2.240   zenlinnode2
"""
ADDRESSES = {  # node: (address, gateway, podCIDR)
    "zenlin": ("10.229.43.65", "10.229.42.1", "10.244.0.0/24"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.1", "10.244.1.0/24"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.1", "10.244.2.0/24"),
}


def squeezed(text):
    """The text with every run of blanks as one, and none at the ends of lines."""
    return "".join(re.sub(" +", " ", line).strip() + "\n" for line in text.splitlines())


def cells(table):
    """The rows below a table's head, each as a list of its cells."""
    return [line.split() for line in table.splitlines()[1:]]


def expect_table(outcome, table, name):
    """Check that a command printed this table, whatever the widths of its columns."""
    outcome.judge(checks.lines(name, squeezed(table).splitlines()), squeezed(outcome.stdout))


def expect_rows(outcome, table, name):
    """Check that what a command printed has at least the table's lines, in their order."""
    wanted = squeezed(table).splitlines()
    outcome.judge(checks.lines(name, wanted), "".join(f"{line}\n" for line in squeezed(outcome.stdout).splitlines() if line in wanted))
