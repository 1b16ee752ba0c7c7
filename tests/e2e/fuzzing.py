"""Messages of any type with random content, and what becomes of them when bytes get lost or changed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTEGERS = (0, 1, -1, 2, 7, 127, 128, 2**31 - 1, -(2**31))
UNSIGNED = (0, 1, 2, 7, 127, 128, 2**31, 2**32 - 1)
LARGE = (0, 1, -1, 2**40, 2**63 - 1, -(2**63), 253402300799)
DEEPEST = 4
LONGEST_LIST = 3


class Fuzzer:
    """Makes messages.

    Args:
        seed: The same one makes the same messages.
        texts: What texts are made from, beside some that are unusual.
    """

    def __init__(self, seed: str, texts: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._texts = (*texts, "", "x" * 70, "ü|@/%\0", '{"a": [1, null]}', "y" * 5_000)

    def encoded(self, type_: type[Message]) -> bytes:
        """Return a message of a type: one half as it should be, the other half damaged."""
        encoded = self._message(type_(), 0).SerializeToString()
        return self._damaged(encoded) if self._random.random() < 0.5 else encoded

    def _message(self, message: Any, depth: int) -> Any:
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.5:
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            entries = getattr(message, field.name)
            if held.fields_by_name["value"].message_type is None:
                entries[self._text()] = self._text()
        elif held is not None:
            if depth < DEEPEST:
                value = getattr(message, field.name)
                self._message(value.add() if field.is_repeated else value, depth + 1)
        elif field.is_repeated:
            for _ in range(self._random.randrange(LONGEST_LIST)):
                getattr(message, field.name).append(self._scalar(field))
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        choose = self._random.choice
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                is_bytes = field.type == FieldDescriptor.TYPE_BYTES
                return self._random.randbytes(9) if is_bytes else self._text()
            case FieldDescriptor.CPPTYPE_BOOL:
                return choose((True, False))
            case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_ENUM:
                return choose(INTEGERS)
            case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
                return choose(UNSIGNED)
            case FieldDescriptor.CPPTYPE_INT64:
                return choose(LARGE)
        raise AssertionError(f"no field of {field.containing_type.full_name} is like {field.name}")

    def _text(self) -> str:
        return self._random.choice(self._texts)

    def _damaged(self, encoded: bytes) -> bytes:
        damaged = bytearray(encoded)
        for _ in range(self._random.randint(1, 4)):
            place = self._random.randrange(len(damaged) + 1)
            match self._random.randrange(4):
                case 0:
                    del damaged[place:]
                case 1:
                    damaged[place:place] = self._random.randbytes(self._random.randint(1, 9))
                case 2 if place < len(damaged):
                    damaged[place] ^= 1 << self._random.randrange(8)
                case _:
                    damaged += damaged[place : place + 40]
        return bytes(damaged)
