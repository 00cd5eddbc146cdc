"""A URL is read, or it is not one; nothing of it that may be a key is shown."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcheck.http_client.urls import (
    endpoint_of,
    has_user,
    host_of,
    is_same_origin,
    origin_of,
    query_secrets,
    url_secrets,
    user_secrets,
)

URLS = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["https://", "http:", "//", "[::1", "]", "a.example", ":0", ":443", ":99999", "/x", "?a=b", "@", "%"]
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/x?y", ("https", "a.example", 443)),
        ("HTTPS://A.example:443", ("https", "a.example", 443)),
        ("http://[::1]:8080/", ("http", "::1", 8080)),
        ("https://user:password@a.example", ("https", "a.example", 443)),
        ("https://[::1", None),
        ("https://a.example:0/", None),
        ("https://a.example:x/", None),
        ("https://a.example/\n", None),
        ("https://" + "a" * 9000, None),
        ("ftp://a.example/", None),
        ("a.example", None),
        (None, None),
        (["https://a.example"], None),
    ],
)
def test_the_origin_of_a_url(url: object, origin: tuple[str, str, int] | None) -> None:
    assert origin_of(url) == origin
    assert host_of(url) == (origin[1] if origin else "")


@given(URLS, URLS)
@example("https://[::1", "https://[::1")
def test_no_url_does_any_harm(one: str, other: str) -> None:
    """And what is not a URL has no origin in common with itself."""
    assert is_same_origin(one, one) == (origin_of(one) is not None)
    assert is_same_origin(one, other) == is_same_origin(other, one)
    assert "?" not in endpoint_of(one) and "@" not in endpoint_of(one).partition("://")[2].partition("/")[0]
    for found in (user_secrets(one), query_secrets(one), url_secrets(one)):
        assert all(found)
    has_user(one)


def test_where_a_key_may_be_in_a_url() -> None:
    url = "https://me:p%20w-long@hooks.example/T0PS3CRET/b?code=key-of-it&v=1#fragment"
    assert user_secrets(url) == {"p%20w-long", "p w-long"}
    assert query_secrets(url) == {"key-of-it"}
    assert url_secrets(url) == {"p%20w-long", "p w-long", "T0PS3CRET", "key-of-it", "fragment"}
    assert (endpoint_of(url), has_user(url)) == ("https://hooks.example/T0PS3CRET/b", True)
    assert not has_user("https://hooks.example/a@b")
