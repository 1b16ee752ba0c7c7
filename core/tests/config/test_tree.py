from __future__ import annotations

from durahub.config.tree import Entry, Items, Position, Scalar, Table, describe, to_plain

AT = Position("a.yaml", 3)
SECRET = Scalar("hunter2", AT)


def test_show_any_node_hides_its_values() -> None:
    entry = Entry("key", AT, SECRET)
    for node in (SECRET, Items((SECRET,), AT), entry, Table({"key": entry}, AT)):
        assert "hunter2" not in repr(node)
        assert "a.yaml" in repr(node)


def test_convert_to_plain_keeps_structure_and_values() -> None:
    table = Table({"key": Entry("key", AT, Items((SECRET, Scalar(1, AT)), AT))}, AT)
    assert to_plain(table) == {"key": ["hunter2", 1]}


def test_describe_scalar_names_its_kind() -> None:
    kinds = {
        None: "nothing",
        True: "a boolean",
        2: "a number",
        1.5: "a number",
        b"x": "binary data",
    }
    for value, noun in kinds.items():
        assert describe(Scalar(value, AT)) == noun
