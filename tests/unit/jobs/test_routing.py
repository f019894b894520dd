"""Where a model's name leads, and which names are listed."""

import pytest

from jobs.catalog.families import Catalog
from jobs.client.routing import Offered, Router
from jobs.errors import ConfigurationError, InvalidInput, ServiceUnavailable
from jobs.model.request import Target
from jobs.settings import Settings, variables

AZURE = {"AZURE_OPENAI_IMAGE_ENDPOINT": "https://a.example", "AZURE_OPENAI_IMAGE_API_KEY": "k"}
OPENAI = {"OPENAI_API_KEY": "k"}
GEMINI = {"GOOGLE_API_KEY": "k"}
ALL = AZURE | OPENAI | GEMINI
ROUTES = (
    "fast=openai/gpt-image-2.5-flare, gpt-image-2 = azure-openai/prod | openai/gpt-image-2|gemini/gemini-3-pro-image"
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def router(settings=ALL, routes=""):
    return Router(Catalog.load(), Settings.load({**settings, "DARKROOM_ROUTES": routes}))


def targets(*told):
    return tuple(Target(*each.split("/")) for each in told)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-image-1.5", "azure-openai/gpt-image-1.5"),
        ("dall-e-3", "azure-openai/dall-e-3"),
        ("gemini-3-pro-image", "gemini/gemini-3-pro-image"),
        ("openai/gpt-image-2", "openai/gpt-image-2"),
        ("gemini/whatever-it-calls-it", "gemini/whatever-it-calls-it"),
        ("fast", "openai/gpt-image-2.5-flare"),
    ],
)
def test_a_name_leads_to_the_provider_that_has_it_and_to_no_other(name, found):
    assert router(routes=ROUTES).targets(name) == targets(found)


def test_a_route_goes_before_the_models_own_name_and_leads_to_each_target_in_its_order():
    found = router(routes=ROUTES).targets("gpt-image-2")

    assert found == targets("azure-openai/prod", "openai/gpt-image-2", "gemini/gemini-3-pro-image")


def test_providers_that_are_not_configured_are_passed_over():
    assert router(OPENAI).targets("gpt-image-2") == targets("openai/gpt-image-2")
    assert router(OPENAI | GEMINI, ROUTES).targets("gpt-image-2") == targets(
        "openai/gpt-image-2", "gemini/gemini-3-pro-image"
    )


@pytest.mark.parametrize(
    ("settings", "name", "variable"),
    [
        (GEMINI, "gpt-image-1.5", "AZURE_OPENAI_IMAGE_ENDPOINT"),
        (GEMINI, "openai/gpt-image-2", "OPENAI_API_KEY"),
        (GEMINI, "fast", "OPENAI_API_KEY"),
        (OPENAI, "gemini-3-pro-image", "GOOGLE_API_KEY"),
    ],
)
def test_a_name_whose_providers_are_not_configured_says_what_is_missing(settings, name, variable):
    with pytest.raises(ServiceUnavailable) as refused:
        router(settings, ROUTES).targets(name)

    assert refused.value.details["reason"] == "provider_unconfigured"
    assert variable in refused.value.details["variable"]


@pytest.mark.parametrize("name", ["mine", "", "*", "nobody/gpt-image-2", "openai/", "openai/a/b", "gpt-image-2/x"])
def test_a_name_that_nobody_knows_is_refused(name):
    with pytest.raises(InvalidInput) as refused:
        router().targets(name)

    assert refused.value.details == {"field": "model", "reason": "model_not_found"}


def test_on_azures_paths_any_name_is_a_deployment_unless_it_is_a_route():
    found = router(routes=ROUTES)

    assert found.targets("prod-image", "azure-openai") == targets("azure-openai/prod-image")
    assert found.targets("gemini-3-pro-image", "azure-openai") == targets("azure-openai/gemini-3-pro-image")
    assert found.targets("fast", "azure-openai") == targets("openai/gpt-image-2.5-flare")
    with pytest.raises(InvalidInput):
        found.targets("openai/gpt-image-2", "azure-openai")
    with pytest.raises(ServiceUnavailable, match="AZURE_OPENAI_IMAGE_ENDPOINT"):
        router(OPENAI).targets("prod-image", "azure-openai")


def test_what_is_listed_are_the_routes_and_what_the_configured_providers_publish_each_once():
    found = router(OPENAI | GEMINI, ROUTES + ",azure=azure-openai/prod").names()

    assert Offered("fast", "darkroom") in found
    assert Offered("gpt-image-2", "darkroom") in found
    assert Offered("dall-e-3", "openai") in found
    assert Offered("gemini-2.5-flash-image", "gemini") in found
    assert "azure" not in {each.id for each in found}
    assert len({each.id for each in found}) == len(found)


def test_every_name_that_is_listed_leads_somewhere():
    found = router(AZURE | GEMINI, ROUTES)

    for each in found.names():
        assert found.targets(each.id)[0].provider == each.owned_by or each.owned_by == "darkroom"


@pytest.mark.parametrize(
    "routes",
    [
        "fast",
        "fast=",
        "fast=gpt-image-2",
        "fast=nobody/gpt-image-2",
        "fast=openai/",
        "fast=openai/a b",
        "fast=openai/a|",
        "fast=openai/a|openai/a",
        "fast=openai/a,fast=openai/b",
        "a/b=openai/a",
        "=openai/a",
    ],
)
def test_a_route_that_leads_nowhere_is_one_line_with_its_variable_and_an_example(routes):
    with pytest.raises(ConfigurationError) as refused:
        router(routes=routes)

    said = str(refused.value)
    assert said.startswith("DARKROOM_ROUTES: ")
    assert "e.g. fast=openai/" in said
    assert "\n" not in said
