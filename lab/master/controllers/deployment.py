"""The Deployment controller: a ReplicaSet per pod template, and the way from one to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lab.master.client import Object
from lab.master.controllers import deploystatus, revisions
from lab.master.controllers.actions import Action, Create, Tell, deletion, patch_of
from lab.master.controllers.objects import annotations_of, changed, controller_of, going, labels_of, matches, pods_of
from lab.master.controllers.replicaset import REVISION
from lab.master.controllers.rolling import Share, limits, proportional, room_for_new, shrunk
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key


def reconcile(key: Key, world: World) -> list[Action]:
    """The next step of a deployment: adopt, then one of scale, roll, recreate; then the status."""
    namespace, name = key
    deployment = world.get("deployments", name, namespace)
    if deployment is None:
        return []
    adoption, sets = revisions.owned(deployment, world)
    step = _Step(deployment, sets, world)
    if not going(deployment):
        if deployment["spec"].get("paused") or step.was_scaled():
            step.scale()
        elif _strategy(deployment) == "Recreate":
            step.recreate()
        else:
            step.roll()
        step.clean()
    status = deploystatus.changes(deployment, step.sets, step.new, step.news, world.now)
    return [*adoption, *step.actions, *status]


class _Step:
    """One reconciliation: collects actions, and what the ReplicaSets are like after them."""

    def __init__(self, deployment: Object, sets: list[Object], world: World) -> None:
        self.deployment, self.sets, self.world = deployment, sets, world
        self.new = revisions.new_of(deployment, sets)
        self.actions: list[Action] = []
        self.news = ""
        self.replicas = int(deployment["spec"].get("replicas", 1))
        rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge, self.unavailable = limits(rolling.get("maxSurge"), rolling.get("maxUnavailable"), self.replicas)
        self.surge = 0 if _strategy(deployment) == "Recreate" else surge

    @property
    def old(self) -> list[Object]:
        return [one for one in self.sets if one is not self.new]

    def was_scaled(self) -> bool:
        told = [annotations_of(one).get(revisions.DESIRED) for one in self.sets if _size(one) > 0]
        return any(one is not None and one != str(self.replicas) for one in told)

    def scale(self) -> None:
        """`spec.replicas` has changed, or the rollout is paused: no new template is rolled out, only the numbers follow."""
        self._renew()
        active = [one for one in self.sets if _size(one) > 0]
        if len(active) <= 1:
            target = active[0] if active else self.new or (self.sets[-1] if self.sets else None)
            if target is not None:
                self._resize(target, self.replicas)
            return
        if _strategy(self.deployment) == "Recreate" or (self.new is not None and self._is_saturated(self.new)):
            for one in self.old:
                self._resize(one, 0)
        else:
            wanted = proportional([_share(one) for one in reversed(active)], self.replicas, self.surge)
            for one in active:
                self._resize(one, wanted.get(_name(one), _size(one)))

    def roll(self) -> None:
        """One step of a rolling update: first up with the new, then, in a later step, down with the old."""
        total = sum(max(_size(one), int((one.get("status") or {}).get("replicas", 0))) for one in self.sets)
        if self.new is None:
            self._create(room_for_new(0, total, self.replicas, self.surge))
            return
        self._renew()
        if self._resize(self.new, room_for_new(_size(self.new), total, self.replicas, self.surge)):
            return
        wanted = shrunk([_share(one) for one in self.old], _share(self.new), self.replicas, self.unavailable)
        for one in self.old:
            if _name(one) in wanted:
                self._resize(one, wanted[_name(one)])

    def recreate(self) -> None:
        """Down with everything old; when its last pod is gone, up with the new."""
        shrinking = [one for one in self.old if self._resize(one, 0)]
        if shrinking or any(_still_runs(pod) for one in self.old for pod in pods_of(one, self.world)):
            return
        if self.new is None:
            self._create(self.replicas)
            return
        self._renew()
        self._resize(self.new, self.replicas)

    def clean(self) -> None:
        """Forget revisions beyond the limit, and keep the deployment's revision in step with its newest ReplicaSet's."""
        if self.new is not None and deploystatus.is_complete(self.deployment, self.sets, self.new):
            self.actions += [deletion("replicasets", one) for one in revisions.superfluous(self.deployment, self.old)]

    def _renew(self) -> None:
        if self.new is None:
            return
        renewal = revisions.renewed(self.deployment, self.new, self.sets)
        self.actions += renewal
        newest = max([*map(revisions.revision_of, self.old), 0]) + 1
        self._number(max(newest, revisions.revision_of(self.new)))

    def _number(self, revision: int) -> None:
        if annotations_of(self.deployment).get(REVISION) != str(revision):
            self.actions.append(patch_of("deployments", self.deployment, {"metadata": {"annotations": {REVISION: str(revision)}}}))

    def _create(self, replicas: int) -> None:
        named = revisions.name_for(self.deployment, self.world)
        if named is None:
            count = int((self.deployment.get("status") or {}).get("collisionCount") or 0) + 1
            self.actions.append(patch_of("deployments", self.deployment, {"status": {"collisionCount": count}}, "status"))
            return
        made = revisions.made(self.deployment, self.sets, *named, replicas, self.replicas + self.surge)
        self.actions.append(Create(made))
        if replicas:
            self.actions.append(Tell(self.deployment, "ScalingReplicaSet", f"Scaled up replica set {named[0]} to {replicas}"))
        self._number(revisions.revision_of(made))
        self.new, self.news = made, "NewReplicaSetCreated"
        self.sets = [*self.sets, made]

    def _resize(self, one: Object, replicas: int) -> bool:
        """Tell a ReplicaSet its size; True when that is another one than before."""
        sizes = changed(annotations_of(one), revisions.sizes(self.deployment, self.replicas + self.surge))
        before = _size(one)
        if before == replicas and (not sizes or not replicas):
            return False
        patch: Object = {"metadata": {"annotations": sizes}} if sizes else {}
        if before != replicas:
            patch["spec"] = {"replicas": replicas}
            way = "up" if replicas > before else "down"
            self.actions.append(Tell(self.deployment, "ScalingReplicaSet", f"Scaled {way} replica set {_name(one)} to {replicas}"))
        self.actions.append(patch_of("replicasets", one, patch))
        after = {**one, "spec": {**one["spec"], "replicas": replicas}}
        self.sets = [after if each is one else each for each in self.sets]
        self.new = after if self.new is one else self.new
        return before != replicas

    def _is_saturated(self, one: Object) -> bool:
        available = (one.get("status") or {}).get("availableReplicas", 0)
        return _size(one) == self.replicas == available and annotations_of(one).get(revisions.DESIRED) == str(self.replicas)


def _strategy(deployment: Object) -> str:
    return str((deployment["spec"].get("strategy") or {}).get("type") or "RollingUpdate")


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _size(item: Object) -> int:
    return int(item["spec"].get("replicas", 1))


def _share(item: Object) -> Share:
    ceiling = annotations_of(item).get(revisions.CEILING, "")
    available = int((item.get("status") or {}).get("availableReplicas", 0))
    return Share(_name(item), _size(item), available, int(ceiling) if ceiling.isdecimal() else 0)


def _still_runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _of_replicaset(world: World, one: Object) -> Iterable[Key]:
    """A ReplicaSet concerns its deployment; one without, every deployment that its labels fit."""
    namespace = one["metadata"].get("namespace", "")
    reference = controller_of(one)
    if reference is not None:
        return [(namespace, reference["name"])] if reference.get("kind") == "Deployment" else []
    deployments = world.all("deployments", namespace)
    return [(namespace, _name(each)) for each in deployments if matches(each["spec"].get("selector"), labels_of(one))]


def _of_pod(world: World, pod: Object) -> Iterable[Key]:
    """A pod concerns its ReplicaSet's deployment only when that waits for the last old pod to go."""
    namespace = pod["metadata"].get("namespace", "")
    reference = controller_of(pod)
    owner = world.get("replicasets", reference["name"], namespace) if reference and reference.get("kind") == "ReplicaSet" else None
    for found in _of_replicaset(world, owner) if owner else ():
        deployment = world.get("deployments", found[1], namespace)
        if deployment is not None and _strategy(deployment) == "Recreate":
            yield found


CONTROLLER = Controller("deployment-controller", {"deployments": itself, "replicasets": _of_replicaset, "pods": _of_pod}, reconcile)
