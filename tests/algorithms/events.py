"""What the tests say of events."""

import astropy.units as u
import numpy as np
from ctapipe.core import Container


def assert_same(one, other, where="event"):
    """Both have the same values, types and units."""
    assert type(one) is type(other), where
    if isinstance(one, Container):
        assert one.prefix == other.prefix, where
        for name in one.fields:
            assert_same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key}]")
    elif isinstance(one, u.Quantity):
        assert one.unit == other.unit, where
        np.testing.assert_array_equal(one.value, other.value, err_msg=where)
    elif isinstance(one, np.ndarray | np.generic | float):
        assert np.asarray(one).dtype == np.asarray(other).dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    else:
        assert one == other, where
