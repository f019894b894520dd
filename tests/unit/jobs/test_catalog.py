"""What each family takes, and how sizes are mapped."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.catalog.checks import check_request
from jobs.catalog.families import FORMATS, Catalog, expected_seconds, native, per_call
from jobs.catalog.sizes import nearest_ratio
from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.request import ImageRequest, Link

CATALOG = Catalog.load()
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")


def ask(provider="azure-openai", model="gpt-image-2", **fields):
    return ImageRequest(provider=provider, model=model, prompt="p", **fields)


@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_no_ratio_is_nearer_than_the_one_that_is_chosen(width, height):
    def distance(ratio):
        wide, high = map(int, ratio.split(":"))
        return abs(math.log((width / height) / (wide / high)))

    chosen = nearest_ratio(width, height, RATIOS)

    assert distance(chosen) <= min(distance(r) for r in RATIOS) + 1e-9


@given(st.integers(1, 99_999), st.integers(1, 99_999), st.sampled_from(["jobs", "agents"]))
def test_gemini_is_asked_for_the_nearest_ratio_through_every_face_and_the_caller_is_told(width, height, face):
    asked = ask("gemini", "gemini-3.1-flash-image-preview", size=f"{width}x{height}")
    family = CATALOG.family("gemini", "gemini-3.1-flash-image-preview")

    checked = check_request(CATALOG, asked, face=face)

    assert checked.request.size == nearest_ratio(width, height, family.ratios)
    assert [(w.code, w.field) for w in checked.warnings] == [("adjusted_size", "size")]


@given(
    st.one_of(st.integers(1, 4_000), st.integers(1, 260).map(lambda n: 16 * n)),
    st.one_of(st.integers(1, 4_000), st.integers(1, 260).map(lambda n: 16 * n)),
)
def test_gpt_image_2_is_asked_for_a_size_of_its_own_rule_or_not_at_all(width, height):
    fits = (
        width % 16 == 0
        and height % 16 == 0
        and max(width, height) <= 3 * min(width, height)
        and max(width, height) <= 3_840
        and width * height <= 3_840 * 2_160
    )

    try:
        taken = check_request(CATALOG, ask(size=f"{width}x{height}"), face="jobs").request.size == f"{width}x{height}"
    except InvalidInput:
        taken = False

    assert taken == fits or f"{width}x{height}" in CATALOG.family("azure-openai", "gpt-image-2").sizes


@given(
    st.one_of(st.text(max_size=20), st.from_regex(r"[0-9]{0,6}[x:*][0-9]{0,6}", fullmatch=True)),
    st.sampled_from([(f.providers[0], f.match[0].replace("*", "x")) for f in CATALOG.families]),
    st.sampled_from(["jobs", "agents"]),
)
def test_whatever_is_written_for_a_size_is_taken_or_refused_by_its_name(size, of, face):
    provider, model = of

    try:
        check_request(CATALOG, ask(provider, model, size=size), face=face)
    except InvalidInput as refused:
        assert refused.details["field"] == "size"  # noqa: PT017  # it may as well be taken


@pytest.mark.parametrize("size", ["1024x1024", "1536x1024", "2048x1152", "3840x2160", "auto"])
def test_the_jobs_face_takes_every_size_of_the_models_own_rule(size):
    assert check_request(CATALOG, ask(size=size), face="jobs").request.size == size


@pytest.mark.parametrize("size", ["1000x1000", "3856x2160", "3840x1024", "big", "16:9", "0x0"])
def test_a_size_outside_the_rule_is_refused(size):
    with pytest.raises(InvalidInput) as refused:
        check_request(CATALOG, ask(size=size), face="jobs")

    assert refused.value.details["field"] == "size"


def test_face_0_holds_its_four_sizes_for_the_same_model():
    with pytest.raises(InvalidInput):
        check_request(CATALOG, ask(size="2048x1152"), face="agents")


def test_a_model_that_nobody_knows_passes_any_well_formed_size():
    checked = check_request(CATALOG, ask(model="our-own-deployment", size="777x333", quality="superb"), face="agents")

    assert (checked.request.size, checked.warnings) == ("777x333", ())


def test_dall_e_3_takes_no_reference_and_says_which_model_does():
    with pytest.raises(InvalidPicture, match="gpt-image-2"):
        check_request(CATALOG, ask(model="dall-e-3", images=(Link("https://x/a.png", "image/png"),)), face="agents")


def test_an_unknown_provider_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="azure-openai"):
        check_request(CATALOG, ask(provider="midjourney"), face="jobs")


def test_a_transparent_jpeg_is_refused():
    with pytest.raises(InvalidInput) as refused:
        check_request(CATALOG, ask(background="transparent", output_format="jpeg"), face="jobs")

    assert refused.value.details["field"] == "background"


# --- what a provider takes, and what is made here ---

EVERY = {"moderation": "low", "user": "u", "safety_identifier": "s", "partial_images": 2}
LINK = (Link("https://x/a.png", "image/png"),)


@pytest.mark.parametrize(
    ("provider", "model", "kept", "warned"),
    [
        ("openai", "gpt-image-2", set(EVERY), set()),
        ("azure-openai", "gpt-image-1.5", set(EVERY), set()),
        ("openai", "our-own", {"moderation", "user", "safety_identifier"}, {"partialImages"}),
        ("openai", "dall-e-2", {"user"}, {"moderation", "partialImages"}),
        ("azure-openai", "dall-e-3", {"user"}, {"moderation", "partialImages"}),
        ("gemini", "gemini-3-pro-image", set(), {"moderation", "partialImages"}),
    ],
)
def test_what_a_model_does_not_take_is_left_out_and_named_but_who_asks_is_no_wish(provider, model, kept, warned):
    checked = check_request(CATALOG, ask(provider, model, **EVERY), face="jobs")

    assert {name for name in EVERY if getattr(checked.request, name) is not None} == kept
    assert {w.field for w in checked.warnings if w.code == "ignored_option"} == warned


@pytest.mark.parametrize(
    ("model", "images", "kept"),
    [("gpt-image-1.5", LINK, "high"), ("gpt-image-1.5", (), None), ("gpt-image-2", LINK, None)],
)
def test_input_fidelity_is_for_edits_alone_and_left_out_for_models_that_do_without(model, images, kept):
    checked = check_request(CATALOG, ask("openai", model, input_fidelity="high", images=images), face="jobs")

    assert checked.request.input_fidelity == kept
    assert [w.field for w in checked.warnings] == ([] if kept else ["inputFidelity"])


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("moderation", {"moderation": "high"}),
        ("inputFidelity", {"model": "gpt-image-1.5", "input_fidelity": "auto", "images": LINK}),
        ("user", {"user": "u" * 513}),
        ("safetyIdentifier", {"safety_identifier": "s" * 513}),
        ("partialImages", {"partial_images": 4}),
        ("partialImages", {"partial_images": -1}),
    ],
)
def test_a_value_that_nobody_takes_is_refused_by_its_name(field, fields):
    with pytest.raises(InvalidInput) as refused:
        check_request(CATALOG, ask(**fields), face="jobs")

    assert refused.value.details["field"] == field


def test_no_preview_asked_for_is_nothing_asked_for():
    checked = check_request(CATALOG, ask("gemini", "gemini-3-pro-image", partial_images=0), face="jobs")

    assert (checked.request.partial_images, checked.warnings) == (None, ())


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-3", "our-own"])
@pytest.mark.parametrize("form", ["gif", "svg", "PNG"])
def test_a_format_that_nobody_makes_is_refused_with_those_that_there_are(model, form):
    with pytest.raises(InvalidInput, match="png, jpeg or webp") as refused:
        check_request(CATALOG, ask(model=model, output_format=form), face="jobs")

    assert refused.value.details["field"] == "outputFormat"


@pytest.mark.parametrize(
    ("provider", "model", "made_there"),
    [
        ("openai", "gpt-image-2", {"png", "jpeg", "webp"}),
        ("openai", "our-own", {"png", "jpeg", "webp"}),
        ("openai", "dall-e-3", {"png"}),
        ("gemini", "gemini-3-pro-image", set()),
    ],
)
def test_every_format_may_be_asked_for_and_the_table_says_who_makes_it(provider, model, made_there):
    family = CATALOG.family(provider, model)
    asked = {form: check_request(CATALOG, ask(provider, model, output_format=form), face="jobs") for form in FORMATS}

    assert {form for form, checked in asked.items() if native(checked.request, family)} == made_there
    assert all(checked.request.output_format == form for form, checked in asked.items())
    assert [checked.warnings for checked in asked.values()] == [(), (), ()]


@pytest.mark.parametrize(("partial_images", "calls"), [(None, 1), (2, 4)])
def test_a_call_that_streams_makes_one_picture_and_a_job_is_expected_to_take_as_long(partial_images, calls):
    request, family = ask(n=4, partial_images=partial_images), CATALOG.family("openai", "gpt-image-2")

    assert -(-request.n // per_call(request, family)) == calls
    assert expected_seconds(request, family) == calls * family.p50_seconds
