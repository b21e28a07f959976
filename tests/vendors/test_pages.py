"""Every vendor has a page, and the page names every setting that is the vendor's own."""

from pathlib import Path

import pytest

from gateway.config.schema import DestinationSettings
from gateway.vendors import VENDORS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendors_page_names_its_settings(name: str) -> None:
    page = (DOCS / "vendors" / f"{name.replace('_', '-')}.md").read_text("utf-8")
    own = VENDORS[name].Settings.model_fields.keys() - DestinationSettings.model_fields.keys()
    assert [setting for setting in sorted(own) if setting not in page] == []
    assert "Certain" in page or name == "http"


def test_the_page_on_adding_a_vendor_names_files_that_are_there() -> None:
    page = (DOCS / "adding-a-vendor.md").read_text("utf-8")
    vendors = {path.name for path in (DOCS.parent / "gateway" / "vendors").glob("*.py")}
    named = {word.strip("`") for word in page.split() if word.startswith("`") and word.endswith(".py`")}
    assert named <= vendors
