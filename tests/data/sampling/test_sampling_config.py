"""Settings: defaults, JSON there and back, and what is refused."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from mlff_distiller.data.sampling.config import DynamicsConfig, RattleConfig, SamplingConfig
from mlff_distiller.errors import ConfigError


def test_json_there_and_back() -> None:
    config = SamplingConfig(dynamics=DynamicsConfig(n=1, temperatures=(250.0,)))
    assert SamplingConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["dynamics"]["temperatures"] == [250.0]


def test_partial_json_takes_defaults_for_the_rest() -> None:
    config = SamplingConfig.from_json('{"rattle": {"n": 0}}')
    assert config.rattle == RattleConfig(n=0)
    assert config.dynamics == DynamicsConfig()
    assert SamplingConfig.from_json('{"clusters": {"n": 2}}').clusters.size == 3


@pytest.mark.parametrize(
    "text",
    [
        '{"ratle": {"n": 0}}',
        '{"rattle": {"sigma": 0.1}}',
        '{"rattle": {"n": -1}}',
        '{"rattle": {"sigma_min": 0.2, "sigma_max": 0.1}}',
        '{"bonds": {"scale_min": 2}}',
        '{"dimers": {"size": 3}}',
        '{"clusters": {"size": 2}}',
        '{"clusters": {"distance_min": 5}}',
        '{"dynamics": {"temperatures": []}}',
        '{"dynamics": {"time_step": 5}}',
        '{"filters": {"max_force": 0}}',
        "not JSON",
    ],
)
def test_unusable_settings_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="sampling settings"):
        SamplingConfig.from_json(text)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises((ValidationError, AttributeError)):
        SamplingConfig().rattle.n = 5  # pyright: ignore[reportAttributeAccessIssue]
