"""The vendors that a destination may name. A new one is a file here and a line in this table."""

from collections.abc import Mapping

from gateway.vendors.base import Vendor
from gateway.vendors.http import Http
from gateway.vendors.ometria import Ometria

VENDORS: Mapping[str, type[Vendor]] = {
    "http": Http,
    "ometria": Ometria,
}
