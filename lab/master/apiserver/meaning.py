"""What is to be known of a kind of object, as the server asks for it: all of it is in lab.master.api."""

from __future__ import annotations

from lab.master.api.convert import served, stored
from lab.master.api.defaults import with_defaults
from lab.master.api.openapi import strict_error, type_error
from lab.master.api.validate import faults

__all__ = ["faults", "served", "stored", "strict_error", "type_error", "with_defaults"]
