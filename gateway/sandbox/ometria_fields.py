"""What Ometria looks at in a record when its queue is drained: fields, their types, what is required.

The fields and required ones are those of VENDORS' Ometria section; that a failing record is not stored and shows up in
`/push/_errors` as `not a valid value` at `root > field` is documented, `required key not provided` is inferred.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Path = tuple[str, ...]
Finding = tuple[Path, str]
Check = Callable[[Any, Path], Iterable[Finding]]

INVALID = "not a valid value"
MISSING = "required key not provided"

TYPES = ("contact", "order", "product", "custom_event")

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_ZONED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")


def scalar(fits: Callable[[Any], bool]) -> Check:
    """A check by a predicate. Null always passes: it deletes."""

    def check(value: Any, path: Path) -> Iterable[Finding]:
        if value is not None and not fits(value):
            yield path, INVALID

    return check


def nested(fields: Mapping[str, Check], required: tuple[str, ...] = (), one_of: tuple[str, ...] = ()) -> Check:
    """A check of an object's known fields; others pass. `one_of`: at least one of these must be there."""

    def check(value: Any, path: Path) -> Iterable[Finding]:
        if value is None:
            return
        if not isinstance(value, dict):
            yield path, INVALID
            return
        yield from (((*path, name), MISSING) for name in required if value.get(name) is None)
        if one_of and all(value.get(name) is None for name in one_of):
            yield (*path, one_of[0]), MISSING
        for name, item in value.items():
            if name in fields:
                yield from fields[name](item, (*path, name))

    return check


def each(inner: Check) -> Check:
    """A check of every element of a list."""

    def check(value: Any, path: Path) -> Iterable[Finding]:
        if value is None:
            return
        if not isinstance(value, list):
            yield path, INVALID
            return
        for place, item in enumerate(value):
            yield from inner(item, (*path, str(place)))

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal | float) and not isinstance(value, bool)


def _is_numeric(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, str) and _NUMERIC.fullmatch(value) is not None)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or _ZONED.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value) == len("2026-01-02") and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _matches(pattern: str | re.Pattern[str]) -> Check:
    return scalar(lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def _among(*words: str) -> Check:
    return scalar(lambda value: value in words)


text = scalar(lambda value: isinstance(value, str))
flag = scalar(lambda value: isinstance(value, bool))
whole = scalar(lambda value: isinstance(value, int) and not isinstance(value, bool))
ident = scalar(lambda value: isinstance(value, str | int) and not isinstance(value, bool) and value != "")
moment = scalar(_is_time)
day = scalar(_is_date)
properties = nested({})


def _contact() -> Check:
    sms = nested(
        {
            "allow_marketing": flag,
            "allow_transactional": flag,
            "dt_updated_marketing": moment,
            "dt_updated_transactional": moment,
        }
    )
    names = ("prefix", "firstname", "middlename", "lastname", "timezone")
    fields: dict[str, Check] = {
        "id": ident,
        "email": _matches(_EMAIL),
        "customer_id": ident,
        "phone_number": _matches(_PHONE),
        "marketing_optin": _among("EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"),
        **dict.fromkeys(names, text),
        "gender": _among("m", "f", "o"),
        "date_of_birth": day,
        "country_id": _matches(r"[A-Z]{2}"),
        "store_ids": each(text),
        "timestamp_acquired": moment,
        "timestamp_subscribed": moment,
        "timestamp_unsubscribed": moment,
        "properties": properties,
        "channels": nested({"sms": sms}),
        "@add_to_lists": each(whole),
        "@remove_from_lists": each(whole),
    }
    return nested(fields, one_of=("email", "phone_number"))


def _order(number: Check) -> Check:
    address = nested(dict.fromkeys(("city", "state", "postcode"), text) | {"country_code": _matches(r"[A-Z]{2}")})
    customer = nested({"id": ident, "email": _matches(_EMAIL), "firstname": text, "lastname": text})
    amounts = ("unit_price", "subtotal", "refunded", "tax", "total", "discount")
    line = nested(
        {
            "product_id": ident,
            "variant_id": ident,
            "sku": text,
            "quantity": number,
            "quantity_refunded": number,
            **dict.fromkeys(amounts, number),
            "is_on_sale": flag,
            "variant_options": each(nested({"type": text, "id": ident, "label": text})),
            "properties": properties,
        },
        required=("product_id", "quantity"),
        one_of=("unit_price", "subtotal"),
    )
    words = ("status", "web_id", "ip_address", "channel", "store", "payment_method", "shipping_method", "coupon_code")
    fields: dict[str, Check] = {
        "id": ident,
        "timestamp": moment,
        "currency": _matches(r"[A-Z]{3}"),
        **dict.fromkeys(("grand_total", "subtotal", "discount", "shipping", "tax"), number),
        **dict.fromkeys(words, text),
        "is_valid": flag,
        "customer": customer,
        "shipping_address": address,
        "billing_address": address,
        "lineitems": each(line),
        "properties": properties,
        "totals": nested({"base": properties, "local": properties}),
    }
    return nested(fields, required=("timestamp", "grand_total", "currency"))


def _product(number: Check) -> Check:
    listing = nested(
        {
            **dict.fromkeys(("store", "title", "url", "image_url"), text),
            "currency": _matches(r"[A-Z]{3}"),
            "price": number,
            "special_price": number,
            "is_active": flag,
        }
    )
    fields: dict[str, Check] = {
        "id": ident,
        **dict.fromkeys(("title", "sku", "url", "image_url"), text),
        **dict.fromkeys(("price", "special_price"), number),
        **dict.fromkeys(("is_variant", "is_active", "is_in_stock"), flag),
        "special_price_dt_from": moment,
        "special_price_dt_to": moment,
        "attributes": each(nested({"type": text, "id": ident, "label": text}, required=("type", "id"))),
        "listings": each(listing),
        "properties": properties,
    }
    return nested(fields, required=("title", "price"))


def _custom_event() -> Check:
    fields: dict[str, Check] = {
        "id": ident,
        "event_type": text,
        "timestamp": moment,
        "identity_email": _matches(_EMAIL),
        "identity_account_id": ident,
        "profile_id": ident,
        "properties": properties,
    }
    identity = ("identity_email", "identity_account_id", "profile_id")
    return nested(fields, required=("event_type", "timestamp"), one_of=identity)


def checks(*, strict: bool) -> dict[str, Check]:
    """The check of each record type. Strict: numbers are JSON numbers; lenient: numeric strings pass as well, as the
    official Magento extension sends them.
    """
    number = scalar(_is_number if strict else _is_numeric)
    return {
        "contact": _contact(),
        "order": _order(number),
        "product": _product(number),
        "custom_event": _custom_event(),
    }


def error(finding: Finding) -> dict[str, str]:
    """An entry of `/push/_errors`."""
    path, message = finding
    return {"error_message": message, "error_path": " > ".join(("root", *path))}
