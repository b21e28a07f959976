"""A small registry of the tests' own: two vendors, two presets, two shipped mappings, and an environment."""

from typing import Literal

from pydantic import Field

from gateway.config.load import Registry
from gateway.config.schema import DestinationSettings
from gateway.config.values import HttpUrl, Secret


class Ometria(DestinationSettings):
    """A vendor with a key and a collection."""

    vendor: Literal["ometria"] = "ometria"
    api_key: Secret = Field(description="The account's API key.")
    collection: str = Field(description="The collection that records go to.", examples=["uk-shop"])


class Http(DestinationSettings):
    """A vendor with a URL."""

    vendor: Literal["http"] = "http"
    url: HttpUrl = Field(description="Where events go.")


ENV = {"UK_SHOP_SECRET": "tide-pool-9021", "OMETRIA_KEY": "amber-kiln-4417", "ERP_KEY": "wren-harbour-7", "EMPTY": ""}

REGISTRY = Registry(
    vendors={"ometria": Ometria, "http": Http},
    presets=("shopify", "generic"),
    packs=("ometria/order", "shopify/order"),
)
