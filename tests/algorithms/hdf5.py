"""Compares HDF5 files."""

import re

import numpy as np
import tables

# What differs between two runs of one tool, and the tool's name.
OF_THE_RUN = re.compile(r"CTA (ACTIVITY (ID|NAME|START TIME|STOP TIME)|PRODUCT (ID|CREATION TIME))")


def assert_same_file(path, expected):
    """See that two files have the same tables, row for row, and the same metadata."""
    with tables.open_file(path) as written, tables.open_file(expected) as wanted:
        nodes = {node._v_pathname: node for node in written.walk_nodes()}
        wanted_nodes = {node._v_pathname: node for node in wanted.walk_nodes()}
        assert set(nodes) == set(wanted_nodes)
        for name, node in wanted_nodes.items():
            assert _attributes(nodes[name]) == _attributes(node), name
            if isinstance(node, tables.Table):
                _assert_same_rows(name, nodes[name][:], node[:])


def n_rows(path, table):
    """How many rows a table of a file has."""
    with tables.open_file(path) as file:
        return len(file.get_node(table))


def _attributes(node):
    attributes = node._v_attrs
    return {
        name: np.asarray(attributes[name]).tolist()
        for name in attributes._f_list("all")
        if not OF_THE_RUN.fullmatch(name)
    }


def _assert_same_rows(name, rows, expected):
    assert rows.dtype == expected.dtype, name
    assert len(rows) == len(expected), name
    for column in expected.dtype.names:
        np.testing.assert_array_equal(rows[column], expected[column], f"{name}: {column}")
