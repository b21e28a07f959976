"""Mappings as JSON Schema, by which editors complete and check them. What it cannot say (an expression that parses),
`gateway check` does.
"""

from typing import Any

from gateway.mapping import blocks, types

Schema = dict[str, Any]

EXPRESSION: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "A JMESPath expression.",
    "examples": ["body.id", "data.customer.email"],
}
_FIELDS: Schema = {
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/MappingField"},
    "description": "Names, and what each is made of.",
    "examples": [{"id": "body.id", "total": {"from": "body.amount", "type": "number"}}],
}


def _expression(description: str, *examples: str) -> Schema:
    return {**EXPRESSION, "description": description, "examples": list(examples)}


def _constant(description: str, *examples: Any) -> Schema:
    return {"description": description, "examples": list(examples)}


def _choice(description: str, names: tuple[str, ...], **more: Any) -> Schema:
    return {"enum": list(names), "description": description, **more}


BLOCK: dict[str, Schema] = {
    "from": _expression("Where the value comes from.", "body.amount"),
    "value": _constant("A constant.", "EUR", 1, True),
    "fields": {**_FIELDS, "description": "A nested object's fields. With `from` or `each` they see it as `item`."},
    "each": _expression("A list: `fields`, `type` or `from` say what becomes of each `item` of it.", "body.lines"),
    "type": _choice("What the value must be; one that does not fit goes the way of `unfit`.", types.NAMES),
    "values": {
        "type": "object",
        "minProperties": 1,
        "description": "A table from value to constant.",
        "examples": [{"paid": "complete", "open": "pending"}],
    },
    "else": _constant("What stands for a value that is not in `values`.", "pending"),
    "default": _constant("A constant for where there is nothing.", "unknown"),
    "required": {"type": "boolean", "default": False, "description": "Without a value the event cannot be mapped."},
    "unfit": _choice("What becomes of a value that does not fit its type.", blocks.POLICIES, default="dead"),
    "nulls": _choice(
        "Whether a null of the document is sent: at some vendors a null deletes.", blocks.NULLS, default="omit"
    ),
    "doc": {"type": "string", "description": "A note for people.", "examples": ["gross, in the order's currency"]},
    "country": _expression("The country of a phone in national form.", "body.address.country"),
    "timezone": _expression("The zone of a time without one.", "'Europe/Berlin'"),
    "money": _expression("The currency: the number leaves with its digits.", "body.currency", "'EUR'"),
}
"""What a field's block may hold."""

MAPPING: dict[str, Schema] = {
    "entity": {
        "type": "string",
        "pattern": "^[a-z0-9_]+$",
        "description": "What it makes: the first half of the normal event's type, or the record's kind.",
        "examples": ["order", "customer"],
    },
    "verb": {
        "type": "string",
        "pattern": "^[a-z0-9_]+$",
        "description": "The second half of the type. Default: the topic's last part in the past tense.",
        "examples": ["created"],
    },
    "when": _expression("Where this is false, nothing is made.", "body.total > `0`"),
    "root": _expression("A list that makes one result for each `item` of it.", "body.orders"),
    "extends": {
        "type": "string",
        "description": "A mapping to build on, shipped or of one's own.",
        "examples": ["shopify/order"],
    },
    "drop": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Inherited fields to leave out, by path.",
        "examples": [["tax", "customer.phone"]],
    },
    "fields": _FIELDS,
    "doc": {"type": "string", "description": "A note for people.", "examples": ["orders of the ERP, since March"]},
}
"""What a mapping may hold."""


def mapping_schema() -> Schema:
    """A reference to `Mapping`, and the definitions that it leads to."""
    block = {
        "type": "object",
        "description": "A field in full.",
        "properties": BLOCK,
        "additionalProperties": False,
        "anyOf": [{"required": [key]} for key in blocks.SOURCES],
    }
    whole = {
        "type": "object",
        "description": "Makes one document out of another: a raw event into a normal one, or that into a record.",
        "properties": MAPPING,
        "additionalProperties": False,
        "anyOf": [{"required": ["fields"]}, {"required": ["extends"]}],
    }
    field = {"description": "An expression, or a block.", "anyOf": [EXPRESSION, {"$ref": "#/$defs/MappingBlock"}]}
    return {"$ref": "#/$defs/Mapping", "$defs": {"Mapping": whole, "MappingField": field, "MappingBlock": block}}
