"""Whether a process is well."""

from typing import Literal

from receiver.read.shapes.base import Shape


class Health(Shape):
    status: Literal["ok", "ready"]
