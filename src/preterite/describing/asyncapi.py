"""An AsyncAPI 3 document: each event is a channel, to which its owner sends and from which others receive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from preterite.contracts import Event
from preterite.describing.telling import Told
from preterite.system import System

CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes, and what orders and traces the event.",
    "required": ["id", "source", "type", "time", "specversion"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "format": "uuid",
            "description": "The same for the same event, however often it comes.",
        },
        "source": {"type": "string", "description": "/system/component"},
        "type": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "description": "The key: events of one key are in order."},
        "version": {"type": "integer", "minimum": 1},
        "correlationid": {"type": "string", "format": "uuid", "description": "What began this conversation."},
        "causationid": {"type": "string", "format": "uuid", "description": "The event that this one follows from."},
        "traceparent": {"type": "string"},
    },
}


def document(system: System, told: Sequence[Told], version: str = "1.0.0") -> dict[str, Any]:
    """The whole system as one document."""
    schemas: dict[str, Any] = {"CloudEvent": CLOUD_EVENT}
    for one in told:
        schemas.update(schemas_of(one.event, one.shape.name))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": system.name,
            "version": version,
            "description": "What the components of this system tell one another. Made from their declarations.",
            "tags": [{"name": component.name} for component in system.components],
        },
        "defaultContentType": "application/json",
        "channels": {one.shape.name: _channel(one) for one in told},
        "operations": {name: operation for one in told for name, operation in _operations(one).items()},
        "components": {"messages": {one.shape.name: _message(one) for one in told}, "schemas": schemas},
    }


def schemas_of(event: type[Event], name: str) -> dict[str, Any]:
    """JSON Schemas of an event and of what it holds; the event's own is under its name on the wire."""
    (reference,), found = msgspec.json.schema_components([event], ref_template=f"#/components/schemas/{name}.{{name}}")
    own = reference["$ref"].removeprefix(f"#/components/schemas/{name}.")
    schemas = {f"{name}.{inner}": schema for inner, schema in found.items() if inner != own}
    return {name: found[own], **schemas}


def _channel(one: Told) -> dict[str, Any]:
    return {
        "address": one.shape.name,
        "title": one.name,
        "description": one.says or one.name,
        "messages": {one.name: {"$ref": f"#/components/messages/{one.shape.name}"}},
        "tags": [{"name": one.publisher}],
    }


def _operations(one: Told) -> dict[str, Any]:
    channel = {"$ref": f"#/channels/{one.shape.name}"}
    messages = [{"$ref": f"#/channels/{one.shape.name}/messages/{one.name}"}]
    found: dict[str, Any] = {
        f"{one.publisher}.publishes.{one.name}": {
            "action": "send",
            "channel": channel,
            "messages": messages,
            "summary": f"{one.publisher} tells: {one.says or one.name}",
            "tags": [{"name": one.publisher}],
        }
    }
    for component, handlers in one.heard_by.items():
        found[f"{component}.hears.{one.name}"] = {
            "action": "receive",
            "channel": channel,
            "messages": messages,
            "summary": f"{component} hears it with {', '.join(handlers)}",
            "tags": [{"name": component}],
        }
    return found


def _message(one: Told) -> dict[str, Any]:
    return {
        "name": one.shape.name,
        "title": one.name,
        "summary": one.says or one.name,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEvent"},
        "payload": {"$ref": f"#/components/schemas/{one.shape.name}"},
        "correlationId": {"location": "$message.header#/correlationid"},
    }
