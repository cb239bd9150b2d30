"""Every public module says what it offers, and offers what it says."""

import importlib
import pkgutil

import pytest

import qwen3vl_edge

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(qwen3vl_edge.__path__, "qwen3vl_edge.")
    if "__main__" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_true(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])
    assert [missing for missing in offered if not hasattr(module, missing)] == []
    assert len(offered) == len(set(offered))
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name and callable(value)
    }
    assert own - set(offered) == set()
