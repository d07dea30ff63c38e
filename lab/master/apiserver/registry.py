"""What creating, changing and deleting an object means, whichever kind it is of. The pure parts are in lab.master.api.

Every write is a loop: read the newest, decide, write if nobody was faster. A request that names a resourceVersion has one try.
"""

from __future__ import annotations

import asyncio
import base64
import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import TypeVar

from lab.master.api import accounts, apply, convert, defaults, status, validate
from lab.master.apiserver.addresses import Addresses
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.store import Conflict, Store, Unavailable
from lab.master.apiserver.tokens import Tokens
from lab.master.apiserver.watchers import Object
from lab.master.resources import RESOURCES, Resource, by_kind

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end in: no vowels, so no words."""

UNRECORDED = frozenset({"events", "leases", "endpoints", "endpointslices"})
"""Whose managers are not noted: machines alone write them, and often."""

TOGETHER = frozenset({"events"})
"""What is written in groups: two writes out of three at a cluster that begins, and nobody decides anything by their order."""

RECORDED = ("", "scale")
"""The subresources whose writes are noted."""

TRIES = 10
PERMANENT = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted."""

_WITH_STATUS = frozenset(resource.plural for resource in RESOURCES if "status" in resource.subresources)
_NOT_THE_USERS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace", "name", "selfLink")
"""Metadata that an update does not change."""

_T = TypeVar("_T")
Change = Callable[[Object], Object]
"""From the newest object to the one to be written. Raises Refused."""


class Registry:
    """The objects behind the API. authority: the certificate that HTTPS is trusted by; it and tokens are there a moment after the start."""

    def __init__(self, store: Store, addresses: Addresses) -> None:
        self.store, self.cache, self.addresses = store, store.cache, addresses
        self.has_https = False
        self.authority = ""
        self.tokens: Tokens | None = None

    def get(self, resource: Resource, name: str, namespace: str) -> Object:
        """An object as it is stored. Raises Refused when there is none."""
        item = self.cache.get(resource.key(name, namespace))
        if item is None:
            raise Refused(status.not_found(resource.plural, name, resource.group))
        return item

    async def create(self, resource: Resource, item: Object, namespace: str, version: str, dry: bool = False, manager: str = "") -> Object:
        """Create an object that a client sent in API version `version`. manager: whose fields they become; empty: nobody's."""
        item = self.received(resource, item, namespace, version)
        metadata = item["metadata"]
        generated = not metadata.get("name") and metadata.get("generateName")
        for _ in range(TRIES if generated else 1):
            if generated:
                metadata["name"] = str(metadata["generateName"])[:58] + "".join(random.choices(ALPHABET, k=5))
            made = self._new(resource, item)
            if manager and resource.plural not in UNRECORDED:
                made = apply.recorded(None, made, manager, now())
            if dry:
                self._refuse_existing(resource, made)
                return made
            try:
                write = self.store.create_together if resource.plural in TOGETHER else self.store.create
                made = await self._guarded(write(resource.key(metadata.get("name", ""), metadata.get("namespace", "")), made))
            except Conflict:
                continue
            if resource.plural == "namespaces":
                await self._furnish(metadata["name"])
            return made
        raise Refused(status.already_exists(resource.plural, metadata["name"], resource.group))

    async def _furnish(self, namespace: str) -> None:
        """What every namespace begins with: made with it, so that the first pod in it finds its account."""

        async def one(item: Object) -> None:
            try:
                await self.create(by_kind(item["kind"]), item, namespace, "v1")
            except Refused as refused:
                if refused.code not in (403, 409):  # somebody was faster, or deletes the namespace already
                    raise

        await asyncio.gather(*map(one, accounts.begun(namespace, self.authority)))

    def _admitted(self, pod: Object) -> Object:
        """A new pod with what its ServiceAccount brings. Raises Refused when there is no such account."""
        metadata, name = pod["metadata"], accounts.account_of(pod)
        namespace = metadata["namespace"]
        account = self.cache.get(f"/registry/serviceaccounts/{namespace}/{name}")
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise Refused(status.forbidden("pods", metadata.get("name", ""), why))
        return accounts.admitted(pod, account, "".join(random.choices(ALPHABET, k=5)), self.has_https)

    def _with_token(self, secret: Object) -> Object:
        """A new Secret that asks for an account's token, with it."""
        name, namespace = accounts.token_account(secret), secret["metadata"]["namespace"]
        account = self.cache.get(f"/registry/serviceaccounts/{namespace}/{name}") if name else None
        if account is None or self.tokens is None:
            return secret
        own = {"token": self.tokens.lasting(account, secret["metadata"].get("name", "")), "ca.crt": self.authority, "namespace": namespace}
        notes = (secret["metadata"].get("annotations") or {}) | {accounts.ACCOUNT_UID: account["metadata"]["uid"]}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in own.items()}
        return secret | {"data": (secret.get("data") or {}) | data, "metadata": secret["metadata"] | {"annotations": notes}}

    async def change(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        change: Change,
        subresource: str = "",
        version: str = "",
        dry: bool = False,
        manager: str = "",
    ) -> Object:
        """Write what `change` makes of the newest object. version: the resourceVersion that it has to have; manager: as for `create`."""
        for _ in range(TRIES):
            old = self.get(resource, name, namespace)
            if version and version != old["metadata"]["resourceVersion"]:
                break
            new = self._changed(resource, old, change(old), subresource)
            if manager and subresource in RECORDED and resource.plural not in UNRECORDED:
                new = apply.recorded(old, new, manager, now(), subresource)
            if dry or new == old:
                return new
            try:
                key = resource.key(name, namespace)
                if _is_over(new):
                    await self._guarded(self.store.delete(key, old["metadata"]["resourceVersion"]))
                    return new
                return await self._guarded(self.store.replace(key, new, old["metadata"]["resourceVersion"]))
            except Conflict:
                await self._newer(resource, name, namespace, old)
        raise Refused(status.conflict(resource.plural, name, resource.group))

    async def delete(self, resource: Resource, name: str, namespace: str, options: Object, dry: bool = False) -> Object:
        """Delete an object, or begin to: a pod on a node gets its grace period, and an object with finalizers waits for them.

        A namespace waits for the controller that empties it. Returns the object as it was last, with a deletionTimestamp where it is still there.
        """
        for _ in range(TRIES):
            old = self.get(resource, name, namespace)
            _require_preconditions(resource, old, options.get("preconditions") or {})
            if resource.plural == "namespaces" and name in PERMANENT:
                raise Refused(status.forbidden(resource.plural, name, "this namespace may not be deleted"))
            last = _dying(resource, old, options)
            if dry:
                return last or old
            try:
                if last is None:
                    await self._guarded(self.store.delete(resource.key(name, namespace), old["metadata"]["resourceVersion"]))
                    return old
                if last == old:
                    return old
                return await self._guarded(self.store.replace(resource.key(name, namespace), last, old["metadata"]["resourceVersion"]))
            except Conflict:
                await self._newer(resource, name, namespace, old)
        raise Refused(status.conflict(resource.plural, name, resource.group))

    def received(self, resource: Resource, item: Object, namespace: str, version: str) -> Object:
        """What a client sent, in the form that is stored, in the namespace of the URL."""
        item = convert.stored(item, version, resource.api_version)
        metadata = dict(item.get("metadata") or {})
        if resource.namespaced:
            if metadata.get("namespace") not in (None, "", namespace):
                raise Refused(status.bad_request("the namespace of the provided object does not match the namespace sent on the request"))
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        return item | {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}

    def _new(self, resource: Resource, item: Object) -> Object:
        if resource.namespaced:
            self._require_namespace(item["metadata"]["namespace"], resource, item)
        metadata = {key: value for key, value in item["metadata"].items() if key not in ("resourceVersion", "deletionTimestamp", "selfLink")}
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if resource.plural in ("deployments", "replicasets", "pods"):
            metadata["generation"] = 1
        made = item | {"metadata": metadata}
        if resource.plural in _WITH_STATUS and resource.plural not in ("nodes", "services"):
            made.pop("status", None)
        if resource.plural == "pods" and isinstance(made.get("spec"), dict):
            made = self._admitted(made)
        made = defaults.with_defaults(made, resource.kind)
        if resource.plural == "services":
            made = self.addresses.allocated(made, None)
        if resource.plural == "secrets":
            made = self._with_token(made)
        self._require_valid(resource, made, None)
        return made

    def _changed(self, resource: Resource, old: Object, new: Object, subresource: str) -> Object:
        """`new` with what a client may not change taken from `old`, and the defaults of what it added."""
        if subresource == "finalize":
            return old | {"spec": (old.get("spec") or {}) | {"finalizers": list((new.get("spec") or {}).get("finalizers") or [])}}
        if subresource == "status":
            new = old | {"status": new.get("status") or {}, "metadata": _status_metadata(old, new)}
            return new
        metadata = dict(new.get("metadata") or {})
        for key in _NOT_THE_USERS:
            metadata.pop(key, None)
            if key in old["metadata"]:
                metadata[key] = old["metadata"][key]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        if not metadata.get("managedFields") and old["metadata"].get("managedFields"):
            metadata["managedFields"] = old["metadata"]["managedFields"]
        elif metadata.get("managedFields") == [{}]:
            del metadata["managedFields"]
        new = new | {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata}
        if resource.plural == "namespaces":
            new["spec"] = old.get("spec") or {}
        if resource.plural in _WITH_STATUS and not (resource.plural == "services" and "status" in new):
            new.pop("status", None)
            new |= {"status": old["status"]} if "status" in old else {}
        new = defaults.with_defaults(new, resource.kind)
        if resource.plural == "services":
            new = self.addresses.allocated(new, old)
        if "generation" in metadata and new.get("spec") != old.get("spec"):
            new |= {"metadata": new["metadata"] | {"generation": int(metadata["generation"]) + 1}}
        self._require_valid(resource, new, old)
        return new

    def _require_valid(self, resource: Resource, item: Object, old: Object | None) -> None:
        faults = validate.faults(item, resource.kind, old)
        if faults:
            raise Refused(status.invalid(resource.kind, item["metadata"].get("name") or "", faults))

    def _require_namespace(self, namespace: str, resource: Resource, item: Object) -> None:
        found = self.cache.get(f"/registry/namespaces/{namespace}")
        if found is None:
            raise Refused(status.not_found("namespaces", namespace))
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            said = status.forbidden(resource.plural, item["metadata"].get("name", ""), why, resource.group)
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated", "field": "metadata.namespace"}
            raise Refused(said | {"details": said["details"] | {"causes": [cause]}})

    def _refuse_existing(self, resource: Resource, item: Object) -> None:
        metadata = item["metadata"]
        if self.cache.get(resource.key(metadata.get("name", ""), metadata.get("namespace", ""))) is not None:
            raise Refused(status.already_exists(resource.plural, metadata["name"], resource.group))

    async def _newer(self, resource: Resource, name: str, namespace: str, old: Object) -> None:
        """After a lost race: wait until the copy shows who won."""
        try:
            await self.cache.reach(int(old["metadata"]["resourceVersion"]) + 1, 2.0)
        except asyncio.TimeoutError:
            raise Refused(status.conflict(resource.plural, name, resource.group)) from None

    async def _guarded(self, work: Awaitable[_T]) -> _T:
        try:
            return await work
        except Unavailable as error:
            raise Refused(status.unavailable(str(error))) from error


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_over(item: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = item["metadata"]
    waiting = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    if item["kind"] == "Namespace":
        waiting = waiting or (item.get("spec") or {}).get("finalizers")
    return "deletionTimestamp" in metadata and not waiting


def _status_metadata(old: Object, new: Object) -> Object:
    """The status subresource changes labels and annotations of nodes only; resourceVersion stays."""
    metadata = dict(old["metadata"])
    if old["kind"] == "Node":
        metadata |= {key: value for key, value in (new.get("metadata") or {}).items() if key in ("labels", "annotations")}
    return metadata


def _dying(resource: Resource, old: Object, options: Object) -> Object | None:
    """What remains of an object that is deleted: None for nothing, else it with its deletionTimestamp."""
    grace = _grace(old, options) if resource.plural == "pods" else 0
    metadata = old["metadata"]
    policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else "")
    finalizers = list(metadata.get("finalizers") or [])
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    if finalizer and finalizer not in finalizers:
        finalizers.append(finalizer)
    own = (old.get("spec") or {}).get("finalizers") if resource.plural == "namespaces" else None
    if not grace and not finalizers and not own:
        return None
    sooner = metadata.get("deletionGracePeriodSeconds", 0) <= grace
    if "deletionTimestamp" in metadata and sooner and finalizers == (metadata.get("finalizers") or []):
        return old
    until = datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() + grace, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    dying = metadata | {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace}
    if finalizers:
        dying["finalizers"] = finalizers
    if own:
        return old | {"metadata": dying, "status": (old.get("status") or {}) | {"phase": "Terminating"}}
    return old | {"metadata": dying}


def _grace(pod: Object, options: Object) -> int:
    """Seconds that a pod has: none for one on no node, or whose containers have ended."""
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    wanted = options.get("gracePeriodSeconds")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    grace = spec.get("terminationGracePeriodSeconds", 30) if wanted is None else wanted
    return max(0, int(grace)) if isinstance(grace, int) else 0


def _require_preconditions(resource: Resource, old: Object, wanted: Object) -> None:
    for key, name in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(key) and wanted[key] != old["metadata"].get(key):
            why = f"Precondition failed: {name} in precondition: {wanted[key]}, {name} in object meta: {old['metadata'].get(key)}"
            raise Refused(status.conflict(resource.plural, old["metadata"]["name"], resource.group, why))
