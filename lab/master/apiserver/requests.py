"""The verbs: what a request for a resource does to the registry, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from lab.master.api import convert, patch, protobuf, selectors, status
from lab.master.apiserver import answers, bodies, listing, subresources, watching
from lab.master.apiserver.answers import Form
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.registry import Registry
from lab.master.apiserver.watchers import Object

_TRUE = ("true", "1", "t", "T", "TRUE", "True")


class Requests:
    """Serves everything below /api and /apis but discovery and what kubelets serve."""

    def __init__(self, registry: Registry, columns: str) -> None:
        self.registry, self.columns = registry, columns

    async def serve(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request. Raises Refused."""
        query = dict(request.query) if "?" in request.raw_path else {}
        form = answers.form_of(request.headers.get("Accept", ""), query, request.headers.get("User-Agent", ""), self.columns)
        verb = self._verb(request.method, target)
        if verb is None:
            raise Refused(status.method_not_allowed())
        if verb == self._list and (target.watch or query.get("watch") in _TRUE):
            return await self._watch(request, target, query, form)
        code, item = await verb(request, target, query)
        made = item if item.get("kind") == f"{target.resource.kind}List" else None
        shown = answers.one(item, target, form) if made is None else answers.many(made["items"], made["metadata"], target, form)
        return web.Response(status=code, body=answers.document(shown, form.pretty), content_type=answers.JSON)

    def _verb(self, method: str, target: Target) -> Callable[..., Any] | None:
        if target.subresource in ("scale", "status", "finalize"):
            return {"GET": self._get, "PUT": self._update, "PATCH": self._patch}.get(method)
        if target.subresource:
            return {"POST": self._act}.get(method)
        if target.watch:
            return {"GET": self._list}.get(method)
        if target.name:
            return {"GET": self._get, "PUT": self._update, "PATCH": self._patch, "DELETE": self._delete}.get(method)
        return {"GET": self._list, "POST": self._create, "DELETE": self._delete_all}.get(method)

    async def _list(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        items, metadata = await listing.listed(self.registry.cache, target, query)
        return 200, {"kind": f"{target.resource.kind}List", "metadata": metadata, "items": items}

    async def _watch(self, request: web.BaseRequest, target: Target, query: dict[str, str], form: Form) -> web.StreamResponse:
        accepts = listing.accepts(target, query)
        if target.name:
            by_selector, name = accepts, target.name

            def accepts(item: Object) -> bool:
                return bool(item["metadata"]["name"] == name) and by_selector(item)

        since, initial = listing.revision_of(query), query.get("sendInitialEvents") in _TRUE
        if since:
            await listing.reach(self.registry.cache, since)
        wish = watching.Wish(
            target, form, accepts, None if initial else since or None, query.get("allowWatchBookmarks") in _TRUE, initial,
            listing.count_of(query, "timeoutSeconds"), selectors.field_of(query.get("fieldSelector", ""), "spec.nodeName"),
        )  # fmt: skip
        return await watching.serve(request, self.registry.cache, wish)

    async def _get(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        since = listing.revision_of(query)
        if since:
            await listing.reach(self.registry.cache, since)
        item = self.registry.get(target.resource, target.name, target.namespace)
        return 200, subresources.scale_of(item) if target.subresource == "scale" else item

    async def _create(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        item = await self._item(request, target, query)
        if target.resource.namespaced and not target.namespace:
            raise Refused(status.method_not_allowed())
        if item["metadata"].get("resourceVersion"):
            raise Refused(status.bad_request("resourceVersion should not be set on objects to be created"))
        return 201, await self.registry.create(
            target.resource, item, target.namespace, target.version, _dry(query), _manager(request, query)
        )

    async def _update(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        if target.subresource == "scale":
            scale = bodies.parse(await bodies.read(request), bodies.media_of(request))
            return 200, await self._scaled(target, lambda _: scale, query, _manager(request, query))
        item = await self._item(request, target, query)
        metadata = item["metadata"]
        if metadata.get("name") not in (None, "", target.name):
            why = f"the name of the object ({metadata['name']:.300}) does not match the name on the URL ({target.name})"
            raise Refused(status.bad_request(why))
        version = metadata.get("resourceVersion") or ""
        new = self.registry.received(target.resource, item, target.namespace, target.version)
        uid = metadata.get("uid")

        def change(old: Object) -> Object:
            if uid and uid != old["metadata"].get("uid"):
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata'].get('uid')}"
                raise Refused(status.conflict(target.resource.plural, target.name, target.resource.group, why))
            return new

        return 200, await self.registry.change(
            target.resource, target.name, target.namespace, change, target.subresource, version, _dry(query), _manager(request, query)
        )

    async def _patch(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        media = bodies.media_of(request)
        if media not in bodies.PATCHES:
            raise Refused(status.unsupported_media(media, bodies.PATCHES))
        document = bodies.parse(await bodies.read(request), media)
        if media == bodies.APPLY:
            return await subresources.apply(self.registry, target, document, query, _dry(query))

        def patched(old: Object) -> Object:
            try:
                if media == bodies.JSON_PATCH:
                    return _object(patch.json_patch(old, document))
                if media == bodies.MERGE_PATCH or target.subresource == "scale":
                    return _object(patch.merge_patch(old, document))
                return _object(patch.strategic_merge_patch(old, document, target.resource.kind))
            except patch.PatchError as error:
                raise Refused(status.status(422, "Invalid", str(error))) from None

        if target.subresource == "scale":
            return 200, await self._scaled(target, patched, query, _manager(request, query))

        def change(old: Object) -> Object:
            shown = convert.served(old, target.version)
            made = patched(shown)
            if not isinstance(made.get("metadata"), dict):
                raise Refused(status.bad_request("the patch leaves the object without metadata"))
            new = bodies.item_of(made, target.resource, target.version)
            bodies.check(new, target.resource.kind, target.version, query.get("fieldValidation", ""), shown)
            metadata = new["metadata"]
            if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
                raise Refused(status.conflict(target.resource.plural, target.name, target.resource.group))
            if metadata.get("name") != target.name:
                raise Refused(status.bad_request("the name of the object does not match the name on the URL"))
            return self.registry.received(target.resource, new, target.namespace, target.version)

        return 200, await self.registry.change(
            target.resource, target.name, target.namespace, change, target.subresource, "", _dry(query), _manager(request, query)
        )

    async def _scaled(self, target: Target, of: Callable[[Object], Any], query: dict[str, str], manager: str) -> Object:
        change, version = subresources.scaling(target, of)
        return subresources.scale_of(
            await self.registry.change(target.resource, target.name, target.namespace, change, "scale", version, _dry(query), manager)
        )

    async def _delete(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        options = await self._options(request, query)
        last = await self.registry.delete(target.resource, target.name, target.namespace, options, _dry(query, options))
        resource = target.resource
        if resource.plural in ("pods", "services", "namespaces") or "deletionTimestamp" in last["metadata"]:
            return 200, last
        return 200, status.success(resource.plural, target.name, last["metadata"].get("uid", ""), resource.group)

    async def _delete_all(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        options = await self._options(request, query)
        if target.resource.namespaced and not target.namespace:
            raise Refused(status.method_not_allowed())
        items, metadata = await listing.listed(self.registry.cache, target, query)
        for item in items:
            try:
                await self.registry.delete(target.resource, item["metadata"]["name"], target.namespace, options, _dry(query, options))
            except Refused as error:
                if error.code != 404:
                    raise
        return 200, {"kind": f"{target.resource.kind}List", "metadata": metadata, "items": items}

    async def _act(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> tuple[int, Object]:
        document = bodies.parse(await bodies.read(request), bodies.media_of(request))
        if not isinstance(document, dict):
            raise Refused(status.bad_request("the object provided is unrecognized"))
        return await subresources.act(self.registry, target, document, _dry(query, document.get("deleteOptions")))

    async def _item(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> Object:
        media = bodies.media_of(request)
        if media and media not in (answers.JSON, "application/yaml", "text/yaml", protobuf.MEDIA, "*/*"):
            raise Refused(status.unsupported_media(media, [answers.JSON, "application/yaml"]))
        raw = await bodies.read(request)
        item = bodies.item_of(bodies.parse(raw, media), target.resource, target.version)
        bodies.check(item, target.resource.kind, target.version, query.get("fieldValidation", ""))
        return item

    async def _options(self, request: web.BaseRequest, query: dict[str, str]) -> Object:
        raw = await bodies.read(request)
        options = bodies.parse(raw, bodies.media_of(request)) if raw.strip() else {}
        if not isinstance(options, dict) or not isinstance(options.get("preconditions") or {}, dict):
            raise Refused(status.bad_request("the object provided is unrecognized (must be of type DeleteOptions)"))
        if "gracePeriodSeconds" in query:
            options["gracePeriodSeconds"] = listing.count_of(query, "gracePeriodSeconds")
        if "propagationPolicy" in query:
            options["propagationPolicy"] = query["propagationPolicy"]
        return options


OWN = frozenset({"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "flanneld"})
"""Clients whose fields are nobody's: with theirs noted, every pod would be twice its size."""


def _manager(request: web.BaseRequest, query: dict[str, str]) -> str:
    """Who writes, as managedFields name him: what he says, else the first word of his User-Agent; empty for the lab's own daemons."""
    agent = request.headers.get("User-Agent", "").partition("/")[0]
    return query.get("fieldManager") or ("" if agent in OWN else agent)[:128]


def _dry(query: dict[str, str], options: Any = None) -> bool:
    wanted = [query["dryRun"]] if "dryRun" in query else (options or {}).get("dryRun") if isinstance(options or {}, dict) else None
    if wanted and wanted != ["All"]:
        raise Refused(status.bad_request(f'dryRun: Unsupported value: "{wanted!s:.100}": supported values: "All"'))
    return bool(wanted)


def _object(made: Any) -> Object:
    if not isinstance(made, dict):
        raise Refused(status.bad_request("the patch makes something of the object that is no object"))
    return made
