"""`via:` of the services that take a key, and of an API that a user's own file describes: the checks before a run."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from smtpcheck.config import Settings, api_json_schema, load
from smtpcheck.mail_api.apis import NAMES, api_of
from smtpcheck.mail_api.shipped import SHIPPED
from smtpcheck.model.check import Depth, Via

AWS = "{type: aws, access_key_id: AKIAAAAAAAAAAAAAAAAA, secret_access_key: {value: s}, region: eu-central-1}"
CREDENTIALS = f"""\
  key: {{type: api-key, key: {{value: k}}}}
  pair: {{type: api-key, key: {{value: k}}, secret: {{value: s}}}}
  aws: {AWS}
  app: {{type: microsoft, tenant: contoso.example, client_id: c, client_secret: {{value: s}}}}
"""
GATEWAY = """\
api: our-gateway
about: Our mail gateway
references: ["https://gateway.example.org/docs"]
regions: {global: "https://gateway.example.org/api"}
key: {header: X-Key}
proof:
- {method: GET, path: /me, success: {status: [200]}, shows: "the key is known"}
send: {path: /send, body: {to: "{recipient}"}, success: {status: [202]}}
errors:
- {status: [401], cause: api_key_invalid}
"""
SEND = ", depth: send, recipient: b@example.org, interval: 15m"


def loaded(folder: Path, via: str, credential: str = "key", more: str = "") -> tuple[Settings | None, list[str]]:
    """Return the settings of one check by an API, and the problems without their places."""
    check = f"{{name: a, mailbox: a@example.org, credential: {credential}, via: {via}{more}}}"
    (folder / "checks.yaml").write_text(f"credentials:\n{CREDENTIALS}checks:\n- {check}\n")
    found = load([folder / "checks.yaml"])
    return found.settings, [str(problem) for problem in found.problems]


def via_of(folder: Path, via: str, credential: str = "key", more: str = "") -> Via:
    settings, problems = loaded(folder, via, credential, more)
    assert settings is not None, problems
    found = settings.checks[0].via
    assert found is not None
    return found


def test_every_service_is_known_by_its_name() -> None:
    assert {*SHIPPED, "graph", "ses", "acs", "http"} <= set(NAMES)


@pytest.mark.parametrize(
    ("via", "credential", "base"),
    [
        ("{api: sendgrid}", "key", "https://api.sendgrid.com"),
        ("{api: sendgrid, region: eu}", "key", "https://api.eu.sendgrid.com"),
        ("{api: mailgun, region: eu, domain: mg.example.org}", "key", "https://api.eu.mailgun.net"),
        ("{api: postmark, base: 'https://gateway.example.org/postmark'}", "key", "https://gateway.example.org/postmark"),
        ("{api: mailjet}", "pair", "https://api.mailjet.com"),
        ("{api: ses}", "aws", "https://email.eu-central-1.amazonaws.com"),
        ("{api: ses, region: cn-north-1}", "aws", "https://email.cn-north-1.amazonaws.com.cn"),
        ("{api: acs, base: 'https://x.europe.communication.azure.com'}", "app", "https://x.europe.communication.azure.com"),
    ],
)  # fmt: skip
def test_where_a_service_is_asked(tmp_path: Path, via: str, credential: str, base: str) -> None:
    assert via_of(tmp_path, via, credential).base == base


def test_the_region_of_the_key_is_that_of_its_service(tmp_path: Path) -> None:
    assert via_of(tmp_path, "{api: ses}", "aws").region == "eu-central-1"


def test_azure_has_a_scope_of_its_own(tmp_path: Path) -> None:
    via = via_of(tmp_path, "{api: acs, base: 'https://x.europe.communication.azure.com'}", "app")
    assert via.scope == "https://communication.azure.com/.default"


@pytest.mark.parametrize(
    ("via", "credential", "more", "message"),
    [
        ("{api: sendgrid, region: mars}", "key", "", "is not a region of sendgrid"),
        ("{api: postmark, region: eu}", "key", "", "has no effect: postmark has none"),
        ("{api: sendgrid}", "app", "", "is of type microsoft, which sendgrid does not take"),
        ("{api: mailjet}", "key", "", "has no secret, which mailjet needs beside the key"),
        ("{api: acs}", "app", "", "is missing\n  hint: write the resource's endpoint"),
        ("{api: aotsend, template: E_1}", "key", "", "cannot be reached: AOTsend documents neither an account call"),
        ("{api: aotsend}", "key", SEND, "is missing, and aotsend needs one"),
        ("{api: http}", "key", "", "is missing, and api: http needs one"),
        ("{api: sendgrid, file: x.yaml}", "key", "", "has no effect: sendgrid is known"),
        ("{api: http, file: missing.yaml}", "key", "", "missing.yaml"),
        ("{api: smtp}", "key", "", "is of type api-key, which is for mail APIs alone"),
        ("{api: smtp}", "aws", ", server: {host: smtp.example.org}", "is of type aws, which is for mail APIs alone"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(
    tmp_path: Path, via: str, credential: str, more: str, message: str
) -> None:
    settings, problems = loaded(tmp_path, via, credential, more)
    assert settings is None
    assert [problem for problem in problems if message in problem] != []


def test_a_key_finds_no_mail(tmp_path: Path) -> None:
    more = ", loopback: {to: b@example.org, every: 1h, find: {via: imap, server: {host: imap.example.org}}}"
    _, problems = loaded(tmp_path, "{api: sendgrid}", "key", more)
    assert any("is of type api-key, which is for mail APIs alone" in problem for problem in problems)


def test_a_template_is_sent_where_nothing_can_be_proven(tmp_path: Path) -> None:
    settings, problems = loaded(tmp_path, "{api: aotsend, template: E_1}", "key", SEND)
    assert settings is not None, problems
    assert (settings.checks[0].depth, settings.checks[0].via and settings.checks[0].via.template) == (Depth.SEND, "E_1")


def test_an_api_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    settings, problems = loaded(tmp_path, "{api: http, file: gateway.yaml}")
    assert settings is not None, problems
    via = settings.checks[0].via
    assert via is not None
    assert (via.base, api_of(via).name) == ("https://gateway.example.org/api", "our-gateway")
    assert tmp_path / "gateway.yaml" in settings.files


def test_every_problem_of_the_file_is_reported_with_its_line_and_once(tmp_path: Path) -> None:
    broken = GATEWAY.replace("header: X-Key", "header: X-Key, field: key").replace("cause: api_key_invalid", "cause: x")
    (tmp_path / "gateway.yaml").write_text(broken.replace("about:", "abuot:"))
    settings, problems = loaded(tmp_path, "{api: http, file: gateway.yaml}")
    assert settings is None
    places = [problem.removeprefix(f"{tmp_path}/").partition("\n")[0] for problem in problems]
    assert [place.split(": ")[:2] for place in places if place.startswith("gateway.yaml")] == [
        ["gateway.yaml:2", "abuot"],
        ["gateway.yaml:5", "key"],
        ["gateway.yaml:10", "errors[0].cause"],
    ]


@pytest.mark.parametrize("content", ["", "[]", "a: [", "- 1", "\0", "api: our-gateway\napi: twice"])
def test_a_file_that_is_no_description_is_a_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "gateway.yaml").write_text(content)
    settings, problems = loaded(tmp_path, "{api: http, file: gateway.yaml}")
    assert settings is None
    assert [problem for problem in problems if "gateway.yaml" in problem] != []


def test_the_schema_for_editors_takes_what_is_shipped() -> None:
    schema: dict[str, Any] = api_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    package = Path(__file__).parents[2] / "smtpcheck/mail_api"
    for api in SHIPPED:
        described = json.loads(json.dumps(yaml.safe_load((package / f"{api}.yaml").read_text())))
        assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(described)] == [], api


@pytest.mark.parametrize(
    ("limit", "more", "warned"),
    [
        (
            "{what: messages, count: 3, seconds: 3600}",
            SEND,
            "4 messages every 3600 s on average",
        ),
        (
            "{what: requests, count: 3, seconds: 3600}",
            SEND,
            "4 requests every 3600 s on average",
        ),
        ("{what: messages, count: 4, seconds: 3600}", SEND, ""),
        ("{what: messages, count: 1, seconds: 3600}", ", interval: 15m", ""),
        ("{what: requests, count: 3, seconds: 3600}", ", interval: 15m", "4 requests every 3600 s on average"),
        ("{what: requests, count: 1, seconds: 86400}", ", interval: 15m, schedule: false", ""),
    ],
)
def test_checks_that_exceed_a_limit_which_the_service_states_are_warned_of(
    tmp_path: Path, limit: str, more: str, warned: str
) -> None:
    (tmp_path / "api.yaml").write_text(GATEWAY + f"limits: [{limit}]\n")
    settings, problems = loaded(tmp_path, "{api: http, file: api.yaml}", "key", more)
    assert settings is not None
    found = [problem for problem in problems if "states a limit" in problem]
    assert len(found) == (1 if warned else 0)
    assert all(warned in problem and "credentials.key" in problem for problem in found)


def test_the_checks_of_one_key_are_counted_together(tmp_path: Path) -> None:
    checks = "".join(
        f"- {{name: c{number}, mailbox: a@example.org, credential: {key}, via: {{api: resend}}}}\n"
        for number, key in enumerate(["other", *["key"] * 1800])
    )
    other = "  other: {type: api-key, key: {value: k}}\n"
    (tmp_path / "checks.yaml").write_text(f"credentials:\n{CREDENTIALS}{other}checks:\n{checks}")
    found = load([tmp_path / "checks.yaml"])
    assert found.settings is not None
    warned = [str(problem) for problem in found.problems if "states a limit" in str(problem)]
    assert len(warned) == 1
    assert (
        "credentials.key: its checks cause 6 requests every 1 s on average, and resend states a limit of 5" in warned[0]
    )


def test_what_a_missing_mailbox_is_for_is_said_for_an_api_too(tmp_path: Path) -> None:
    check = "{name: a, credential: key, via: {api: resend}}"
    (tmp_path / "checks.yaml").write_text(f"credentials:\n{CREDENTIALS}checks:\n- {check}\n")
    problems = load([tmp_path / "checks.yaml"]).problems
    assert any("mailbox: is missing\n  hint: name the address to send as" in str(problem) for problem in problems)
