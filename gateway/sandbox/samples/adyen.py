"""Adyen: standard webhooks with items in a list (here one), and the platform's, an event each."""

from typing import Any

from gateway.sandbox.samples.scene import CURRENCY, Build, Platform, Scene, offset, zulu

ACCOUNT = "NorthlightUK"


def _notice(code: str, *, original: bool = False) -> Build:
    def build(number: int, at_ms: int) -> dict[str, Any]:
        scene = Scene(number, at_ms)
        item = {
            "additionalData": {
                "shopperEmail": scene.person.email,
                "shopperReference": f"NLC-{number}",
                "cardSummary": "1111",
            },
            "amount": {"currency": CURRENCY, "value": scene.total_pence},
            "eventCode": code,
            "eventDate": offset(at_ms),
            "merchantAccountCode": ACCOUNT,
            "merchantReference": f"NL-{1000 + number}",
            "operations": ["CANCEL", "CAPTURE", "REFUND"],
            "paymentMethod": "visa",
            "pspReference": scene.event().upper(),
            "reason": "",
            "success": "true",
        }
        if original:
            item["originalReference"] = f"NLPSP{number:011}"
        return {"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}

    return build


ADYEN = Platform(
    {
        "AUTHORISATION": _notice("AUTHORISATION"),
        "CAPTURE": _notice("CAPTURE", original=True),
        "REFUND": _notice("REFUND", original=True),
        "CANCELLATION": _notice("CANCELLATION", original=True),
    },
    {"order": "AUTHORISATION", "payment": "AUTHORISATION", "capture": "CAPTURE", "refund": "REFUND"},
)


def _transfer(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    data = {
        "id": f"NLTR{scene.event().upper()}",
        "amount": {"currency": CURRENCY, "value": scene.total_pence},
        "balanceAccount": {"id": "BANORTHLIGHT01"},
        "category": "platformPayment",
        "reference": f"NL-{1000 + number}",
        "status": "received",
        "creationDate": zulu(at_ms),
    }
    return {"data": data, "environment": "test", "timestamp": zulu(at_ms), "type": "balancePlatform.transfer.created"}


def _holder(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    holder = {
        "id": f"AHNORTHLIGHT{number:05}",
        "description": scene.person.name,
        "legalEntityId": f"LENORTHLIGHT{number:05}",
        "status": "active",
        "contactDetails": {"email": scene.person.email},
    }
    return {
        "data": {"balancePlatform": "Northlight", "accountHolder": holder},
        "environment": "test",
        "timestamp": zulu(at_ms),
        "type": "balancePlatform.accountHolder.created",
    }


ADYEN_PLATFORM = Platform(
    {"balancePlatform.transfer.created": _transfer, "balancePlatform.accountHolder.created": _holder},
    {"order": "balancePlatform.transfer.created", "customer": "balancePlatform.accountHolder.created"},
)
