"""What a model found wrong, in plain words, for the shapes that vendors' and presets' models have."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from gateway.config.schema import Section
from gateway.config.wording import near, problems


class Token(Section):
    kind: Literal["token"] = "token"
    token: str = Field(description="The token.")


class Pair(Section):
    kind: Literal["pair"] = "pair"
    user: str = Field(description="Who.", examples=["ann"])
    password: str = Field(description="The password.")


class Account(Section):
    proof: Annotated[Token | Pair, Field(discriminator="kind")] | None = Field(None, description="How it is proved.")
    either: Token | Pair | None = Field(None, description="One of two.")
    amount: int | float = Field(1, description="How much.")
    codes: dict[str, list[int]] = Field({}, description="Codes by name.")
    few: list[int] = Field([], max_length=2, description="A few.")
    short: str = Field("", max_length=3, description="A short one.")


def found(raw: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str, str]]:
    with pytest.raises(ValidationError) as error:
        Account.model_validate(raw)
    return [(one.path, one.cause, one.hint) for one in problems(error.value, Account, raw, {})]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"proof": {"token": "x"}}, (("proof",), "`kind` is missing", "How it is proved")),
        ({"proof": {"kind": "tokn"}}, (("proof", "kind"), "`kind` is none of token, pair", "did you mean `token`?")),
        ({"proof": {"kind": "token"}}, (("proof",), "`token` is missing", "The token")),
        (
            {"proof": {"kind": "pair", "user": 1, "password": ""}},
            (("proof", "user"), "a text is wanted, and this is a number", 'Who. Example: "ann"'),
        ),
        ({"either": {"user": "ann"}}, (("either",), "`password` is missing", "The password")),
        ({"either": 5}, (("either",), "a table of keys is wanted, and this is a number", "One of two")),
        ({"amount": "x"}, (("amount",), "a whole number or a number is wanted, and this is a text", "How much")),
        (
            {"codes": {"a": [1, "b"]}},
            (("codes", "a", 1), "a whole number is wanted, and this is a text", "Codes by name"),
        ),
        ({"few": [1, 2, 3]}, (("few",), "at most 2 are allowed", "A few")),
        ({"short": "long"}, (("short",), "at most 3 are allowed", "A short one")),
    ],
    ids=str,
)
def test_a_fault_says_what_is_wanted_where(raw: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert found(raw) == [expected]


def test_what_is_far_from_everything_is_answered_with_what_there_is() -> None:
    assert near("zebra", ["crm", "bin"]) == "there is: bin, crm"
    assert near("zebra", []) == "there is none yet"
    assert near("zebra", [f"name-{number:02}" for number in range(14)]).endswith("name-11 and 2 more")
