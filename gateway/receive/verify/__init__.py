"""How requests are proved to be their platform's: one file per signature scheme behind one contract (`base`)."""

from gateway.receive.verify.hmac import Hmac

AnyScheme = Hmac
"""What may stand under `verify` in a preset."""
