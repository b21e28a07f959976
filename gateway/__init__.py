"""The webhook gateway: takes each event once, keeps it, delivers it as fast as each vendor allows and no faster."""

__version__ = "0.1.0"
