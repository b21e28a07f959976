"""GitHub: no shop, but the sender that many try first. Its order is a purchase in its marketplace."""

from typing import Any

from gateway.sandbox.samples.scene import Platform, Scene, handle, zulu

_REPOSITORY = {"id": 512_001, "name": "storefront", "full_name": "northlight/storefront", "private": True}


def _sender(scene: Scene) -> dict[str, Any]:
    return {"login": handle(scene.person.first), "id": 90_000 + scene.number, "type": "User"}


def _push(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    author = {"name": scene.person.name, "email": scene.person.email}
    head = f"{scene.event()}{number:024x}"
    commit = {"id": head, "message": "Mugs are back", "timestamp": zulu(at_ms), "author": author, "added": []}
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": head,
        "repository": _REPOSITORY,
        "pusher": author,
        "sender": _sender(scene),
        "commits": [commit],
        "head_commit": commit,
    }


def _issue(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    issue = {
        "id": 7_000 + number,
        "number": number,
        "title": f"{scene.good.title} has no picture",
        "state": "open",
        "user": _sender(scene),
        "created_at": zulu(at_ms),
    }
    return {"action": "opened", "issue": issue, "repository": _REPOSITORY, "sender": _sender(scene)}


def _purchase(number: int, at_ms: int) -> dict[str, Any]:
    scene = Scene(number, at_ms)
    account = {"type": "Organization", "id": 18_404_719, "login": "northlight", "organization_billing_email": None}
    plan = {"id": 435, "name": "Basic", "monthly_price_in_cents": 1_000, "price_model": "FLAT_RATE"}
    purchase = {"account": account, "billing_cycle": "monthly", "unit_count": 1, "on_free_trial": False, "plan": plan}
    person = {**_sender(scene), "email": scene.person.email}
    return {
        "action": "purchased",
        "effective_date": zulu(at_ms),
        "sender": person,
        "marketplace_purchase": purchase,
    }


def _ping(_number: int, _at_ms: int) -> dict[str, Any]:
    hook = {"type": "Repository", "id": 292_430_182, "name": "web", "active": True, "events": ["push"]}
    return {"zen": "Keep it logically awesome.", "hook_id": hook["id"], "hook": hook, "repository": _REPOSITORY}


GITHUB = Platform(
    {"push": _push, "issues.opened": _issue, "marketplace_purchase.purchased": _purchase, "ping": _ping},
    {"order": "marketplace_purchase.purchased", "issue": "issues.opened"},
)
