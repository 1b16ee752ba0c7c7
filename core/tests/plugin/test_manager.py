from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType

import pytest
from durahub.backend import CONTRACT_VERSION, ContractVersion
from durahub.errors import PluginContractError
from durahub.plugin import BackendPlugin, BackendPluginManager, hookimpl
from durahub.plugin.validation import is_compatible

Describe = Callable[..., BackendPlugin]
MakeModule = Callable[[object], ModuleType]


def register(module: ModuleType) -> tuple[BackendPlugin, BackendPluginManager]:
    manager = BackendPluginManager()
    plugin = manager.register(module, backend_type="acme", provider="acme-durahub 1.0")
    return plugin, manager


def refuse(module: ModuleType) -> str:
    """Return the message with which a module is refused, having checked that it did not stay."""
    manager = BackendPluginManager()
    with pytest.raises(PluginContractError) as caught:
        manager.register(module, backend_type="acme", provider="acme-durahub 1.0")
    assert manager.registered == ()
    assert "acme-durahub 1.0" in str(caught.value)
    return str(caught.value)


def test_register_good_module_returns_its_description(
    describe: Describe, module_returning: MakeModule
) -> None:
    described = describe()
    plugin, manager = register(module_returning(described))
    assert plugin is described
    assert manager.registered == ("acme_durahub.plugin",)


def test_register_second_module_raises_and_keeps_the_first(
    describe: Describe, module_returning: MakeModule
) -> None:
    _, manager = register(module_returning(describe()))
    with pytest.raises(PluginContractError, match="a process has one backend"):
        manager.register(module_returning(describe()), backend_type="acme", provider="x")
    assert manager.registered == ("acme_durahub.plugin",)


def test_register_after_a_refusal_succeeds(
    describe: Describe, module_returning: MakeModule
) -> None:
    manager = BackendPluginManager()
    with pytest.raises(PluginContractError):
        manager.register(module_returning(None), backend_type="acme", provider="x")
    good = module_returning(describe())
    assert manager.register(good, backend_type="acme", provider="x").name == "acme"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "other"}, "it describes backend 'other', and its entry point is named 'acme'"),
        ({"contract": (1, 0)}, "contract is tuple, not a durahub.backend.ContractVersion"),
        ({"contract": ContractVersion(2, 0)}, "it was written for backend contract 2.0"),
        ({"settings": dict}, "settings is no subclass of durahub.backend.BackendSettings"),
        ({"settings": "AcmeSettings"}, "settings is no subclass"),
        ({"factory": None}, "factory is not callable"),
        ({"capabilities": {"durable": True}}, "capabilities is no durahub.backend.Capabilities"),
        ({"summary": ""}, "summary is not one line"),
        ({"summary": "two\nlines"}, "summary is not one line"),
        ({"summary": "x" * 201}, "summary is not one line"),
        ({"summary": None}, "summary is not one line"),
    ],
)
def test_register_wrong_description_raises_with_the_fault(
    describe: Describe, module_returning: MakeModule, changes: dict[str, object], fault: str
) -> None:
    assert fault in refuse(module_returning(describe(**changes)))


@pytest.mark.parametrize("returned", [None, "acme", {"name": "acme"}, BackendPlugin])
def test_register_other_return_type_raises(module_returning: MakeModule, returned: object) -> None:
    assert "not a durahub.plugin.BackendPlugin" in refuse(module_returning(returned))


def test_register_async_hook_raises_without_leaving_a_coroutine() -> None:
    module = ModuleType("acme_durahub.plugin")

    @hookimpl
    async def durahub_backend() -> None: ...

    module.durahub_backend = durahub_backend  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "durahub_backend() is async" in refuse(module)


def test_register_module_without_hook_raises() -> None:
    assert "needs a function durahub_backend" in refuse(ModuleType("acme_durahub.plugin"))


def test_register_function_without_marker_raises() -> None:
    module = ModuleType("acme_durahub.plugin")
    module.durahub_backend = lambda: None  # type: ignore[attr-defined]
    assert "marked with durahub.plugin.hookimpl" in refuse(module)


def test_register_misspelt_hook_raises_with_its_name(
    describe: Describe, module_returning: MakeModule
) -> None:
    module = module_returning(describe())

    @hookimpl
    def durahub_bakcend() -> None: ...

    module.durahub_bakcend = durahub_bakcend  # type: ignore[attr-defined]
    assert "durahub_bakcend" in refuse(module)


def test_register_hook_with_arguments_raises() -> None:
    module = ModuleType("acme_durahub.plugin")

    @hookimpl
    def durahub_backend(settings: object) -> None: ...

    module.durahub_backend = durahub_backend  # type: ignore[attr-defined]
    assert "has a wrong hook" in refuse(module)


def test_register_raising_hook_raises_with_the_cause() -> None:
    module = ModuleType("acme_durahub.plugin")

    @hookimpl
    def durahub_backend() -> None:
        raise RuntimeError("no licence")

    module.durahub_backend = durahub_backend  # type: ignore[attr-defined]
    assert "raised RuntimeError: no licence" in refuse(module)


def test_register_interrupted_hook_stays_unregistered() -> None:
    module = ModuleType("acme_durahub.plugin")

    @hookimpl
    def durahub_backend() -> None:
        raise KeyboardInterrupt

    module.durahub_backend = durahub_backend  # type: ignore[attr-defined]
    manager = BackendPluginManager()
    with pytest.raises(KeyboardInterrupt):
        manager.register(module, backend_type="acme", provider="x")
    assert manager.registered == ()


@pytest.mark.parametrize(
    ("contract", "expected"),
    [((1, 0), True), ((1, 3), True), ((1, 4), False), ((0, 3), False), ((2, 0), False)],
)
def test_compare_contract_versions_admits_same_major_and_no_later_minor(
    contract: tuple[int, int], *, expected: bool
) -> None:
    assert is_compatible(ContractVersion(*contract), core=ContractVersion(1, 3)) is expected


def test_refuse_later_contract_message_says_what_to_install(
    describe: Describe, module_returning: MakeModule
) -> None:
    later = ContractVersion(CONTRACT_VERSION.major, CONTRACT_VERSION.minor + 1)
    message = refuse(module_returning(describe(contract=later)))
    assert f"a core with contract {later} or a later minor" in message


def test_refuse_earlier_contract_message_says_that_the_plugin_is_too_old(
    describe: Describe, module_returning: MakeModule
) -> None:
    earlier = ContractVersion(CONTRACT_VERSION.major - 1, 9)
    message = refuse(module_returning(describe(contract=earlier)))
    assert (
        f"contract {earlier} and is too old for this core, which has {CONTRACT_VERSION}" in message
    )
    assert f"install a version of it for contract {CONTRACT_VERSION.major}.0" in message
