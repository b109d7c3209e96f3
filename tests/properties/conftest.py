"""One way of running for all properties: the same examples every time, no clock, nothing written beside the tests."""

from hypothesis import HealthCheck, settings

from tests.amount import FULL

settings.register_profile(
    "steady",
    max_examples=80 if FULL else 10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
settings.load_profile("steady")
