from __future__ import annotations

import json

import schemathesis

from core.tests.server.openapi_page import PAGE, page


def test_the_committed_document_is_that_of_the_endpoints() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m core.tests.server.openapi_page`"


def test_the_document_is_a_valid_one() -> None:
    schema = schemathesis.openapi.from_dict(json.loads(page()))
    schema.validate()
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) == 43
    assert len({operation.definition.raw["operationId"] for operation in operations}) == 43
