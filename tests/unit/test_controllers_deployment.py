"""The deployment and ReplicaSet controllers, together in a small cluster: rollouts, scaling, history, pins, adoption."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.master.controllers import replicaset, rolling
from lab.master.controllers.objects import annotations_of, condition, labels_of, owner_reference, stamp
from tests.unit.small_cluster import SmallCluster, a_deployment, a_pod

Object = dict[str, Any]
AMOUNTS = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda number: f"{number}%"))


def _sets(cluster: SmallCluster) -> dict[str, int]:
    return {one["metadata"]["name"]: one["spec"]["replicas"] for one in cluster.world.all("replicasets")}


def _deployment(cluster: SmallCluster, name: str = "web") -> Object:
    found = cluster.world.get("deployments", name, "default")
    assert found is not None
    return found


def _status(cluster: SmallCluster) -> Object:
    return {key: value for key, value in _deployment(cluster)["status"].items() if key != "conditions"}


def _image(image: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


def test_a_deployment_becomes_a_replicaset_and_pods_named_as_in_1_7() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=2))
    cluster.settle()
    (name,) = _sets(cluster)
    assert re.fullmatch(r"web-[0-9]{1,10}", name)
    assert all(re.fullmatch(rf"{name}-[bcdfghjklmnpqrstvwxz2456789]{{5}}", pod["metadata"]["name"]) for pod in cluster.pods())
    assert [labels_of(pod) for pod in cluster.pods()] == [{"app": "web", "pod-template-hash": name[4:]}] * 2
    assert annotations_of(_deployment(cluster))["deployment.kubernetes.io/revision"] == "1"
    assert _status(cluster) == {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2}
    assert (condition(_deployment(cluster), "Available") or {})["status"] == "False"
    assert f"ScalingReplicaSet: Scaled up replica set {name} to 2" in cluster.told
    assert sum(one.startswith("SuccessfulCreate: Created pod: ") for one in cluster.told) == 2


def test_when_all_pods_are_ready_the_status_says_what_rollout_status_waits_for() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=2))
    cluster.live()
    assert _status(cluster) == {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    reasons = {one["type"]: (one["status"], one["reason"]) for one in _deployment(cluster)["status"]["conditions"]}
    assert reasons == {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable")}


@given(st.integers(0, 8), st.integers(0, 8), AMOUNTS, AMOUNTS, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_rolling_update_keeps_its_limits_at_every_moment_and_converges(
    before: int, after: int, surge: int | str, unavailable: int | str, seed: int
) -> None:
    cluster = SmallCluster(seed=seed)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    cluster.put(a_deployment(replicas=before, strategy=strategy))
    cluster.live()
    assert len(cluster.pods()) == cluster.available() == before
    cluster.change("deployments", "web", {"spec": {"replicas": after}})
    cluster.live()
    assert len(cluster.pods()) == after
    more, fewer = rolling.limits(surge, unavailable, after)

    def within_limits() -> None:
        assert len(cluster.pods()) <= after + more
        assert cluster.available() >= after - fewer

    cluster.watch = within_limits
    cluster.change("deployments", "web", _image("nginx:1.9"))
    cluster.live()
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.pods()] == ["nginx:1.9"] * after
    assert sorted(_sets(cluster).values()) == sorted([0, after])


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=8), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_in_whatever_order_the_last_word_wins(wishes: list[tuple[int, str, bool]], seed: int) -> None:
    cluster = SmallCluster(seed=seed)
    cluster.put(a_deployment(replicas=3, image="a"))
    for replicas, image, recreate in wishes:
        for _ in range(cluster.dice.randrange(12)):
            cluster.step()
        kind = {"type": "Recreate"} if recreate else {"type": "RollingUpdate"}
        cluster.change("deployments", "web", {"spec": {"replicas": replicas, "strategy": kind}})
        cluster.change("deployments", "web", _image(image))
    cluster.live()
    replicas, image, _ = wishes[-1] if wishes else (3, "a", False)
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.pods()] == [image] * replicas
    status = _status(cluster)
    assert status["replicas"] == status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == replicas
    assert status["observedGeneration"] == _deployment(cluster)["metadata"]["generation"]


def test_recreate_makes_new_pods_only_when_the_last_old_one_is_gone() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=3, strategy={"type": "Recreate"}))
    cluster.live()

    def one_image() -> None:
        assert len({pod["spec"]["containers"][0]["image"] for pod in cluster.pods()}) <= 1

    cluster.watch = one_image
    cluster.change("deployments", "web", _image("nginx:1.9"))
    cluster.live()
    assert cluster.available() == 3


def test_a_terminating_pod_holds_up_a_recreate() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=1, strategy={"type": "Recreate"}))
    cluster.live()
    (pod,) = cluster.pods()
    cluster.change("pods", pod["metadata"]["name"], {"metadata": {"deletionTimestamp": stamp(cluster.world.now)}})
    cluster.change("deployments", "web", _image("nginx:1.9"))
    for _ in range(200):
        cluster.step()
    assert [one["spec"]["containers"][0]["image"] for one in cluster.pods()] == []
    cluster.delete("pods", pod["metadata"]["name"])
    cluster.live()
    assert [one["spec"]["containers"][0]["image"] for one in cluster.pods()] == ["nginx:1.9"]


def test_a_paused_deployment_is_scaled_but_not_rolled() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=2))
    cluster.live()
    cluster.change("deployments", "web", {"spec": {"paused": True, "replicas": 4}})
    cluster.change("deployments", "web", _image("nginx:1.9"))
    cluster.live()
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.pods()] == ["nginx:1.8"] * 4
    assert (condition(_deployment(cluster), "Progressing") or {})["reason"] == "DeploymentPaused"
    cluster.change("deployments", "web", {"spec": {"paused": None}})
    cluster.live()
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.pods()] == ["nginx:1.9"] * 4


def test_an_undone_rollout_takes_its_old_replicaset_with_a_new_revision() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=1))
    cluster.live()
    (first,) = _sets(cluster)
    for image in ("nginx:1.9", "nginx:1.8"):
        cluster.change("deployments", "web", _image(image))
        cluster.live()
    assert len(_sets(cluster)) == 2 and _sets(cluster)[first] == 1
    again = cluster.world.get("replicasets", first, "default")
    assert again is not None
    told = annotations_of(again)
    assert (told["deployment.kubernetes.io/revision"], told["deployment.kubernetes.io/revision-history"]) == ("3", "1")
    assert annotations_of(_deployment(cluster))["deployment.kubernetes.io/revision"] == "3"


def test_history_beyond_the_limit_is_forgotten() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=1, revisionHistoryLimit=2))
    for number in range(5):
        cluster.live()
        cluster.change("deployments", "web", _image(f"nginx:{number}"))
    cluster.live()
    revisions = {annotations_of(one)["deployment.kubernetes.io/revision"] for one in cluster.world.all("replicasets")}
    assert revisions == {"4", "5", "6"}


def test_a_rollout_that_hangs_is_said_to_after_its_deadline() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=1, progressDeadlineSeconds=10))
    cluster.settle()
    assert cluster.again and max(cluster.again) <= 10
    cluster.world.now += 11
    cluster.wanted[0, ("default", "web")] = None
    cluster.settle()
    told = condition(_deployment(cluster), "Progressing") or {}
    assert (told["status"], told["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_min_ready_seconds_make_a_ready_pod_available_later() -> None:
    cluster = SmallCluster()
    cluster.put(a_deployment(replicas=1, minReadySeconds=5))
    cluster.live()
    assert _status(cluster)["readyReplicas"] == 1 and "availableReplicas" not in _status(cluster)
    assert 5 in cluster.again
    cluster.world.now += 5
    cluster.wanted[1, ("default", next(iter(_sets(cluster))))] = None
    cluster.settle()
    assert _status(cluster)["availableReplicas"] == 1


def test_the_articles_names_come_by_a_fixed_hash_and_pins() -> None:
    pins = [
        {"name": "nginx-deployment-1885164871-dzls7", "node": "zenlinnode1", "ip": "10.244.1.53"},
        {"name": "nginx-deployment-1885164871-q37zh", "node": "zenlinnode2", "ip": "10.244.2.199"},
    ]
    notes = {"lab.network/pins": json.dumps(pins), "lab.network/replicaset-hash": "1885164871"}
    cluster = SmallCluster()
    cluster.put(a_deployment("nginx-deployment", 3, annotations=notes))
    cluster.live()
    assert list(_sets(cluster)) == ["nginx-deployment-1885164871"]
    where = {pod["metadata"]["name"]: (pod["spec"].get("nodeName"), annotations_of(pod).get(replicaset.POD_IP)) for pod in cluster.pods()}
    assert where.items() >= {pin["name"]: (pin["node"], pin["ip"]) for pin in pins}.items() and len(where) == 3
    cluster.change("deployments", "nginx-deployment", {"spec": {"replicas": 2}})
    cluster.live()
    assert {pod["metadata"]["name"] for pod in cluster.pods()} == {pin["name"] for pin in pins}, "pins stay when ready equally long"
    cluster.change("deployments", "nginx-deployment", _image("nginx:1.9"))
    cluster.live()
    assert len(_sets(cluster)) == 2 and not {pod["metadata"]["name"] for pod in cluster.pods()} & {pin["name"] for pin in pins}


def test_pins_that_make_no_sense_are_passed_over() -> None:
    for text in ("no json", "{}", "[1]", '[{"name": 3}]', '[{"node": "x"}]', "null"):
        cluster = SmallCluster()
        cluster.put(a_deployment(replicas=1, annotations={"lab.network/pins": text}))
        cluster.live()
        assert cluster.available() == 1


def test_a_name_that_another_template_has_raises_the_collision_count() -> None:
    cluster = SmallCluster()
    made = cluster.put(a_deployment(replicas=1))
    cluster.settle()
    (name,) = _sets(cluster)
    other = SmallCluster()
    alien = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "default"}}
    alien["spec"] = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}}
    other.put(alien)
    other.put(made | {"metadata": {"name": "web", "namespace": "default"}})
    other.live()
    assert _status(other)["collisionCount"] == 1 and len(_sets(other)) == 2 and other.available() == 1


def test_orphans_of_the_right_labels_are_adopted_and_strangers_let_go() -> None:
    cluster = SmallCluster()
    cluster.put(a_pod("orphan"))
    cluster.put(a_pod("stranger", {"app": "other"}))
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    owner: Object = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "namespace": "default"}}
    owner["spec"] = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = cluster.put(owner)
    cluster.live()
    names = {pod["metadata"]["name"] for pod in cluster.pods()}
    assert len(names) == 3 and {"orphan", "stranger"} < names
    orphan = cluster.world.get("pods", "orphan", "default")
    assert orphan is not None and orphan["metadata"]["ownerReferences"] == [owner_reference(made)]
    cluster.change("pods", "orphan", {"metadata": {"labels": {"app": "free"}}})
    cluster.live()
    orphan = cluster.world.get("pods", "orphan", "default")
    assert orphan is not None and orphan["metadata"]["ownerReferences"] == [] and len(cluster.pods()) == 4


def test_what_is_given_up_first() -> None:
    def pod(name: str, node: str = "n", ready: bool = True, since: int = 0, made: int = 0, restarts: int = 0, phase: str = "Running") -> Object:
        found = a_pod(name, node=node, ready=ready)
        found["metadata"]["creationTimestamp"] = stamp(1e9 + made)
        found["status"] |= {"phase": phase, "containerStatuses": [{"restartCount": restarts}]}
        found["status"]["conditions"][0]["lastTransitionTime"] = stamp(1e9 + since)
        return found

    ordered = [
        pod("unscheduled", node="", ready=False, phase="Pending"),
        pod("pending", ready=False, phase="Pending"),
        pod("unready-restarted", ready=False, restarts=3),
        pod("unready", ready=False),
        pod("ready-late", since=50),
        pod("restarted", since=10, restarts=2),
        pod("young", since=10, made=9),
        pod("old", since=10, made=1),
        pod("a-pinned", since=10, made=1),
    ]
    shuffled = sorted(ordered, key=lambda one: one["metadata"]["name"])
    ranked = sorted(shuffled, key=lambda one: replicaset.rank(one, frozenset({"a-pinned"})))
    assert [one["metadata"]["name"] for one in ranked] == [one["metadata"]["name"] for one in ordered]


def test_percentages_round_up_for_more_and_down_for_fewer() -> None:
    assert rolling.limits("25%", "25%", 3) == (1, 0)
    assert rolling.limits("25%", "25%", 10) == (3, 2)
    assert rolling.limits(None, None, 4) == (1, 1)
    assert rolling.limits(0, 0, 5) == rolling.limits("0%", 0, 5) == rolling.limits(0, "10%", 5) == (0, 1)
    assert rolling.limits("x", -1, 4) == (1, 1)
    assert rolling.limits(0, 9, 5) == (0, 5)


@example([1, 1, 1, 1], 1, 1)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 60), st.integers(0, 9))
def test_proportional_scaling_gives_out_exactly_what_is_allowed(sizes: list[int], replicas: int, surge: int) -> None:
    total = sum(sizes)
    shares = [rolling.Share(str(number), size, size, total) for number, size in enumerate(sizes)]
    changed = rolling.proportional(shares, replicas, surge)
    after = {one.name: changed.get(one.name, one.replicas) for one in shares}
    wanted = replicas + surge if replicas else 0
    # As with the real one, what rounding leaves over is taken from the largest alone, and it cannot give more than it has.
    assert sum(after.values()) == wanted or (sum(after.values()) > wanted and 0 in after.values())
    assert min(after.values()) >= 0
    assert all((after[one.name] >= one.replicas) == (sum(after.values()) >= total) or after[one.name] == one.replicas for one in shares)
