"""`deepseek` and `deepseek_api`: the same names, loaded when they are used."""

from __future__ import annotations

import importlib

import pytest

import abyssal

from .test_import import run


@pytest.mark.parametrize("package", ["deepseek", "deepseek_api"])
def test_every_name_is_the_same_object(package: str) -> None:
    module = importlib.import_module(package)
    for name in abyssal.__all__:
        assert getattr(module, name) is getattr(abyssal, name), name
        assert name in dir(module)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nobody'"):
        _ = module.Nobody


@pytest.mark.parametrize("package", ["deepseek", "deepseek_api"])
def test_importing_one_loads_nothing(package: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
import {package}
print(sorted(set(sys.modules) - before))
from {package} import DeepSeekClient, OpenAICompatibilityError, RateLimitError
print(issubclass(OpenAICompatibilityError, {package}.ProtocolError))
"""
    assert run(code).splitlines() == [f"['__future__', 'abyssal', '{package}']", "True"]
