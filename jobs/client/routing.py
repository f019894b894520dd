"""Where a model's name leads: to the provider that has it, or to the targets that the deployment has given it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.catalog.families import MODEL_NAME
from jobs.errors import ConfigurationError, InvalidInput, ProviderUnconfigured
from jobs.model.request import Target
from jobs.providers import PROVIDERS, missing
from jobs.settings import variables

if TYPE_CHECKING:
    from jobs.catalog.families import Catalog
    from jobs.settings import Settings

OURS: Final = "darkroom"
"""Who owns a name that the deployment has given."""


class Offered(Struct, frozen=True):
    """A name that may be asked for, and whose it is: a provider's, or our own."""

    id: str
    owned_by: str


class Router:
    """Finds the targets of a name. Only a name in `DARKROOM_ROUTES` has several, in the order of preference.

    Raises `ConfigurationError` when it is made with routes that no provider could serve.
    """

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._missing = {name: missing(name, settings) for name in PROVIDERS}
        self._routes = {name: _route(name, told) for name, told in settings.routes.items()}

    def targets(self, name: str, provider: str | None = None) -> tuple[Target, ...]:
        """The configured targets of a name, at least one; `provider`: whose any other name is (Azure's deployments).

        Raises `InvalidInput` for a name that nobody knows, `ProviderUnconfigured` when no target is configured here.
        """
        if name in self._routes:
            return self._configured(self._routes[name])
        forced, slash, model = name.partition("/")
        if provider is None and slash and forced in PROVIDERS:
            return self._configured((_known(Target(forced, model)),))
        if provider is not None:
            return self._configured((_known(Target(provider, name)),))
        known = tuple(Target(p, name) for p in self._providers() if self._catalog.knows(p, name))
        if not known or not MODEL_NAME.fullmatch(name):
            raise _unknown()
        return self._configured(known)[:1]

    def knows(self, name: str) -> bool:
        """Whether the name leads anywhere, configured or not."""
        try:
            return bool(self.targets(name))
        except InvalidInput:
            return False
        except ProviderUnconfigured:
            return True

    def names(self) -> tuple[Offered, ...]:
        """What can be listed: the routes, and the models that the configured providers publish."""
        found = {name: OURS for name, targets in self._routes.items() if any(map(self._is_configured, targets))}
        for provider in filter(self._has, self._providers()):
            for family in self._catalog.families:
                if provider in family.providers:
                    found = {**dict.fromkeys(family.names, provider), **found}
        return tuple(Offered(name, owner) for name, owner in sorted(found.items()))

    def _providers(self) -> tuple[str, ...]:
        """Those that the catalog names, in its order."""
        return tuple(p for p in self._catalog.providers if p in PROVIDERS)

    def _has(self, provider: str) -> bool:
        return self._missing[provider] is None

    def _is_configured(self, target: Target) -> bool:
        return self._has(target.provider)

    def _configured(self, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        found = tuple(filter(self._is_configured, targets))
        if not found:
            first = targets[0].provider
            raise ProviderUnconfigured(first, self._missing[first] or "")
        return found


def _route(name: str, told: str) -> tuple[Target, ...]:
    targets = tuple(Target(*target.partition("/")[::2]) for target in told.split("|"))
    if not MODEL_NAME.fullmatch(name):
        raise _refused(f"{name!r} is no name for a model")
    if len(set(targets)) < len(targets):
        raise _refused(f"{name} names a target twice")
    for target in targets:
        if target.provider not in PROVIDERS:
            raise _refused(f"{name}: {target.provider!r} is no provider; known are {', '.join(PROVIDERS)}")
        if not MODEL_NAME.fullmatch(target.model):
            raise _refused(f"{name}: {target.model!r} is no name of a model at {target.provider}")
    return targets


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(f"DARKROOM_ROUTES: {why}, e.g. {variables()['DARKROOM_ROUTES'].examples[0]}")  # type: ignore[index]  # each setting has one


def _known(target: Target) -> Target:
    if not MODEL_NAME.fullmatch(target.model):
        raise _unknown()
    return target


def _unknown() -> InvalidInput:
    return InvalidInput("there is no such model here", field="model", reason="model_not_found")
