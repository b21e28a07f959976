"""The vendors that a destination may name. A new one is a file here and a line in this table."""

from collections.abc import Mapping

from gateway.vendors.altcraft import Altcraft
from gateway.vendors.amperity import Amperity
from gateway.vendors.base import Vendor
from gateway.vendors.http import Http
from gateway.vendors.lookup import Lookup
from gateway.vendors.octolis import Octolis
from gateway.vendors.ometria import Ometria
from gateway.vendors.ometria_batch import OmetriaBatch

VENDORS: Mapping[str, type[Vendor]] = {
    "altcraft": Altcraft,
    "amperity": Amperity,
    "http": Http,
    "octolis": Octolis,
    "ometria": Ometria,
    "ometria_batch": OmetriaBatch,
}

TARGETS: Mapping[str, type[Vendor]] = {**VENDORS, Lookup.name: Lookup}
"""What a lane may lead to: a vendor, or what is asked."""
