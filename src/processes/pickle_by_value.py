"""Pickle what is defined in a script or a notebook, so that its tracebacks stay what they are."""

import io
import marshal
from types import CodeType
from typing import Any

import cloudpickle

__all__ = ["dump_by_value"]


def dump_by_value(value: Any) -> bytes:
    """A pickle that a process with the same Python can load.

    Parameters
    ----------
    value : object
        What to pickle. Functions and classes that no module has to offer go with it.

    Raises
    ------
    Exception
        Whatever the pickling of what is in it raises.
    """
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


class _Pickler(cloudpickle.CloudPickler):
    def reducer_override(self, value: Any) -> Any:
        # Since 3.1.3, cloudpickle leaves out from which file code comes.
        if isinstance(value, CodeType):
            try:
                return marshal.loads, (marshal.dumps(value),)
            except ValueError:
                # Made by a program, with constants that no source could have.
                pass
        return super().reducer_override(value)
