"""Python imports this at the start of each process that has the folder on its path: see `tests/whole/disk.py`."""

from tests.whole import disk

disk.install()
