"""An AsyncAPI 3 document: each event is a channel, to which its publisher sends and from which subscribers receive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from preterite.contracts import Event
from preterite.describing.flows import Flow
from preterite.system import System

CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes, with extensions for order and tracing.",
    "required": ["id", "source", "type", "time", "specversion"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "format": "uuid",
            "description": "The identity of the event, the same on every delivery.",
        },
        "source": {"type": "string", "description": "/system/component"},
        "type": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "description": "The key: events with the same key are in order."},
        "version": {"type": "integer", "minimum": 1},
        "correlationid": {"type": "string", "format": "uuid", "description": "The first message of this conversation."},
        "causationid": {"type": "string", "format": "uuid", "description": "The message that caused this event."},
        "traceparent": {"type": "string"},
    },
}


def document(system: System, flows: Sequence[Flow], version: str = "1.0.0") -> dict[str, Any]:
    """The whole system as one document."""
    schemas: dict[str, Any] = {"CloudEvent": CLOUD_EVENT}
    for flow in flows:
        schemas.update(schemas_of(flow.event, flow.shape.name))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": system.name,
            "version": version,
            "description": "The events that the components of this system publish. Generated from the declarations.",
            "tags": [{"name": component.name} for component in system.components],
        },
        "defaultContentType": "application/json",
        "channels": {flow.shape.name: _channel(flow) for flow in flows},
        "operations": {name: operation for flow in flows for name, operation in _operations(flow).items()},
        "components": {"messages": {flow.shape.name: _message(flow) for flow in flows}, "schemas": schemas},
    }


def schemas_of(event: type[Event], name: str) -> dict[str, Any]:
    """JSON Schemas of an event and of the types of its fields; that of the event is under its wire name."""
    (reference,), found = msgspec.json.schema_components([event], ref_template=f"#/components/schemas/{name}.{{name}}")
    own = reference["$ref"].removeprefix(f"#/components/schemas/{name}.")
    schemas = {f"{name}.{inner}": schema for inner, schema in found.items() if inner != own}
    return {name: found[own], **schemas}


def _channel(flow: Flow) -> dict[str, Any]:
    return {
        "address": flow.shape.name,
        "title": flow.name,
        "description": flow.summary or flow.name,
        "messages": {flow.name: {"$ref": f"#/components/messages/{flow.shape.name}"}},
        "tags": [{"name": flow.publisher}],
    }


def _operations(flow: Flow) -> dict[str, Any]:
    channel = {"$ref": f"#/channels/{flow.shape.name}"}
    messages = [{"$ref": f"#/channels/{flow.shape.name}/messages/{flow.name}"}]
    found: dict[str, Any] = {
        f"{flow.publisher}.publishes.{flow.name}": {
            "action": "send",
            "channel": channel,
            "messages": messages,
            "summary": f"{flow.publisher} publishes: {flow.summary or flow.name}",
            "tags": [{"name": flow.publisher}],
        }
    }
    for component, handlers in flow.subscribers.items():
        found[f"{component}.consumes.{flow.name}"] = {
            "action": "receive",
            "channel": channel,
            "messages": messages,
            "summary": f"{component} handles it with {', '.join(handlers)}",
            "tags": [{"name": component}],
        }
    return found


def _message(flow: Flow) -> dict[str, Any]:
    return {
        "name": flow.shape.name,
        "title": flow.name,
        "summary": flow.summary or flow.name,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEvent"},
        "payload": {"$ref": f"#/components/schemas/{flow.shape.name}"},
        "correlationId": {"location": "$message.header#/correlationid"},
    }
