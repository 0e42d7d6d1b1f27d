"""The environment becomes Settings."""

from __future__ import annotations

import socket

import pytest

from app.settings import Settings

HOST = socket.gethostname()


@pytest.mark.parametrize(
    ("env", "field", "expected"),
    [
        ({}, "cloud", "local"),
        ({"CLOUD": "aws"}, "cloud", "aws"),
        ({"CLOUD": "  "}, "cloud", "local"),
        ({"REGION": "us-east-1"}, "region", "us-east-1"),
        ({}, "instance", HOST),
        ({"INSTANCE": "a-1"}, "instance", "a-1"),
        ({}, "health_fail", False),
        ({"HEALTH_CHECK_FAIL": "true"}, "health_fail", True),
        ({"HEALTH_CHECK_FAIL": "TRUE"}, "health_fail", True),
        ({"HEALTH_CHECK_FAIL": "false"}, "health_fail", False),
        ({"HEALTH_CHECK_FAIL": ""}, "health_fail", False),
        ({"HEALTH_CHECK_FAIL_FILE": "/x"}, "health_fail_file", "/x"),
        ({}, "health_weight", False),
        ({"HEALTH_WEIGHT": "true"}, "health_weight", True),
        ({"DATABASE_URL": ""}, "database_url", None),
        ({"REDIS_URL": "redis://r"}, "redis_url", "redis://r"),
    ],
)
def test_a_variable_sets_its_field(env: dict[str, str], field: str, expected: object) -> None:
    assert getattr(Settings.from_env(env), field) == expected
