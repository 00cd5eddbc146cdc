"""Serving: the address, TLS, users, and the web configuration that is read again."""

import asyncio
import base64
import ssl
import threading
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme
import uvloop

from smtpcheck.web import ServeError, create_app, exposure_warning, serve
from smtpcheck.web import auth as auth_module
from smtpcheck.web.auth import Guard, TooManyAttemptsError
from smtpcheck.web.web_config import TlsConfig, WebConfig, load
from tests.web.world import World

HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
OTHER = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _write(folder: Path, text: str) -> Path:
    """Write the web configuration; the new file is another one, as editors and orchestrators make it."""
    new = folder / "web.yml.new"
    new.write_text(text)
    return new.replace(folder / "web.yml")


def _certificate(folder: Path, ca: trustme.CA, *names: str) -> None:
    issued = ca.issue_cert(*names)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


TLS = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
MUTUAL = """tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
"""


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, ca: trustme.CA) -> Path:
    _certificate(tmp_path, ca, "localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


async def _status(port: int, *, context: ssl.SSLContext | None = None, **headers: str) -> int:
    scheme = "https" if context else "http"
    async with aiohttp.ClientSession() as session:
        url = f"{scheme}://127.0.0.1:{port}/-/healthy"
        async with session.get(url, ssl=context or True, headers=headers) as answer:
            return answer.status


def _client_context(ca: trustme.CA, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if name:
        ca.issue_cert(name).configure_cert(context)
    return context


async def test_it_serves_until_the_block_ends(world: World) -> None:
    async with serve(create_app(world), ("127.0.0.1", 0)) as (host, port):
        assert (host, await _status(port)) == ("127.0.0.1", 200)
    with pytest.raises(aiohttp.ClientConnectorError):
        await _status(port)


async def test_a_port_in_use_is_one_line_that_says_what_to_do(world: World) -> None:
    async with serve(create_app(world), ("127.0.0.1", 0)) as (_, port):
        with pytest.raises(ServeError) as error:
            async with serve(create_app(world), ("127.0.0.1", port)):
                pass
    assert str(error.value) == (
        f"127.0.0.1:{port} is in use: stop what listens there, or choose another with --web.listen-address"
    )


async def test_an_address_that_is_not_ours_says_so(world: World) -> None:
    with pytest.raises(ServeError, match=r"^192\.0\.2\.1:9587 is not an address of this machine: choose another"):
        async with serve(create_app(world), ("192.0.2.1", 9587)):
            pass


async def test_a_bad_web_configuration_serves_nothing(world: World, folder: Path) -> None:
    path = _write(folder, "basic_auth_user: {}\nhttp_server_config: {headers: {X-Frame-Options: allow}}\n")
    with pytest.raises(ServeError) as error:
        async with serve(create_app(world), ("127.0.0.1", 0), path):
            pass
    assert str(error.value) == (
        f'{path}:1: basic_auth_user: unknown key\n  hint: did you mean "basic_auth_users"?\n'
        f'{path}:2: http_server_config.headers.X-Frame-Options: "allow": must be deny or sameorigin'
    )


@pytest.mark.parametrize(
    ("host", "config", "warned"),
    [
        ("127.0.0.1", WebConfig(), False),
        ("::1", WebConfig(), False),
        ("localhost", WebConfig(), False),
        ("0.0.0.0", WebConfig(), True),
        ("", WebConfig(), True),
        ("::", WebConfig(), True),
        ("192.0.2.7", WebConfig(), True),
        ("0.0.0.0", WebConfig(users={"anna": HASH}), False),
        ("0.0.0.0", WebConfig(headers={"X-Frame-Options": "deny"}), True),
    ],
)
def test_who_listens_to_all_without_authentication_is_warned(host: str, config: WebConfig, warned: bool) -> None:
    assert (exposure_warning((host, 9587), config) is not None) is warned


async def test_users_are_asked_for_their_password(world: World, folder: Path) -> None:
    path = _write(folder, f"basic_auth_users: {{anna: '{HASH}'}}\n")
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        tried = [
            await _status(port),
            await _status(port, Authorization=_basic("anna", "wrong")),
            await _status(port, Authorization=_basic("nobody", "right")),
            await _status(port, Authorization="Basic !!!"),
            await _status(port, Authorization="Bearer right"),
            await _status(port, Authorization=_basic("anna", "right")),
        ]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            challenge = answer.headers["WWW-Authenticate"]
    assert tried == [401, 401, 401, 401, 401, 200]
    assert challenge == 'Basic realm="smtpcheck", charset="UTF-8"'


async def test_behind_a_password_any_host_name_may_be_asked_for(world: World, folder: Path) -> None:
    path = _write(folder, f"basic_auth_users: {{anna: '{HASH}'}}\n")
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        assert await _status(port, Host="status.example", Authorization=_basic("anna", "right")) == 200


async def test_users_and_headers_change_without_a_restart(world: World, folder: Path) -> None:
    path = _write(folder, f"basic_auth_users: {{anna: '{HASH}'}}\n")
    right = _basic("anna", "right")
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        before = await _status(port, Authorization=right)
        _write(folder, f"basic_auth_users: {{anna: '{OTHER}'}}\n")
        after = [await _status(port, Authorization=right), await _status(port, Authorization=_basic("anna", "other"))]
        _write(folder, "http_server_config: {headers: {Strict-Transport-Security: max-age=60, X-Frame-Options: ''}}\n")
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
            headers = answer.headers
    assert (before, after) == (200, [401, 200])
    told = (headers["Strict-Transport-Security"], headers["X-Frame-Options"])
    assert (answer.status, told) == (200, ("max-age=60", "DENY"))


async def test_a_file_that_turns_bad_changes_nothing(world: World, folder: Path) -> None:
    """A broken file must not open what a password guarded; the agent gets to know of it, and of its repair."""
    path = _write(folder, f"basic_auth_users: {{anna: '{HASH}'}}\n")
    usable = list[bool]()
    async with serve(create_app(world), ("127.0.0.1", 0), path, on_web_config=usable.append) as (_, port):
        for broken in ("basic_auth_users: {anna: plain}\n", "{", None):
            path.unlink() if broken is None else _write(folder, broken)
            answers = [await _status(port), await _status(port, Authorization=_basic("anna", "right"))]
            assert answers == [401, 200]
        _write(folder, f"basic_auth_users: {{anna: '{HASH}'}}\n\n")
        assert await _status(port) == 401
    assert usable == [False, False, False, True]


async def _around_a_new_certificate(world: World, folder: Path, ca: trustme.CA) -> tuple[int, int]:
    """Return what is answered before and after, to those who trust the one in force; the first is no longer shown."""
    path = _write(folder, TLS)
    other = trustme.CA()
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        before = await _status(port, context=_client_context(ca))
        _certificate(folder, other, "127.0.0.1")
        after = await _status(port, context=_client_context(other))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await _status(port, context=_client_context(ca))
    return before, after


async def test_a_new_certificate_holds_for_the_next_connection(world: World, folder: Path, ca: trustme.CA) -> None:
    assert await _around_a_new_certificate(world, folder, ca) == (200, 200)


def test_the_same_under_uvloop(world: World, folder: Path, ca: trustme.CA) -> None:
    """The agent runs on uvloop where it exists, which has a TLS protocol of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_around_a_new_certificate(world, folder, ca)) == (200, 200)


async def test_tls_does_not_turn_off_under_way(world: World, folder: Path, ca: trustme.CA) -> None:
    path = _write(folder, TLS)
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        _write(folder, "basic_auth_users: {}\n")
        assert await _status(port, context=_client_context(ca)) == 200


async def test_a_client_certificate_can_be_required(world: World, folder: Path, ca: trustme.CA) -> None:
    path = _write(folder, MUTUAL)
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        assert await _status(port, context=_client_context(ca, "prometheus.example")) == 200
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await _status(port, context=_client_context(ca))


async def test_a_client_certificate_must_bear_an_allowed_name(world: World, folder: Path, ca: trustme.CA) -> None:
    path = _write(folder, MUTUAL + "  client_allowed_sans: [prometheus.example]\n")
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        answers = [
            await _status(port, context=_client_context(ca, name)) for name in ("prometheus.example", "other.example")
        ]
    assert answers == [200, 403]


async def test_versions_and_suites_are_those_of_the_file(world: World, folder: Path, ca: trustme.CA) -> None:
    suites = "[TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"
    path = _write(
        folder,
        f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem, max_version: TLS12, cipher_suites: {suites}}}\n",
    )
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_client_context(ca))
        session = writer.get_extra_info("ssl_object")
        assert (session.version(), session.cipher()[0].endswith("AES128-GCM-SHA256")) == ("TLSv1.2", True)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the hashes that bcrypt is asked for."""
    hashes: list[str] = []

    def matches(password: bytes, expected: str) -> bool:
        hashes.append(expected)
        return bcrypt.checkpw(password, expected.encode())

    monkeypatch.setattr(auth_module, "_matches", matches)
    return hashes


async def test_a_password_that_was_right_costs_one_comparison(compared: list[str]) -> None:
    guard = Guard(lambda: WebConfig(users={"anna": HASH}))
    answers = [await guard.authenticate(_basic("anna", "right")) for _ in range(5)]
    assert (answers, compared) == ([True] * 5, [HASH])


async def test_a_wrong_password_and_an_unknown_user_cost_one_comparison_each(compared: list[str]) -> None:
    """Time must not show whether a user exists; and the hash that an unknown name is compared with opens nothing."""
    guard = Guard(lambda: WebConfig(users={"anna": HASH}))
    wrong = [await guard.authenticate(_basic("anna", "wrong")) for _ in range(2)]
    unknown = [await guard.authenticate(_basic("nobody", "right")) for _ in range(2)]
    assert (wrong, unknown, compared) == ([False] * 2, [False] * 2, [HASH] * 4)


@pytest.mark.parametrize(
    ("client_auth", "certificate", "identified"),
    [
        ("RequireAndVerifyClientCert", {"subject": ()}, True),
        ("RequireAndVerifyClientCert", {}, False),  # a connection that is older than the requirement
        ("VerifyClientCertIfGiven", {"subject": ()}, False),
    ],
)
def test_a_client_is_known_by_a_certificate_that_is_required(
    folder: Path, client_auth: str, certificate: dict[str, object], *, identified: bool
) -> None:
    config, problems = load(_write(folder, MUTUAL.replace("RequireAndVerifyClientCert", client_auth)))
    assert config, problems
    assert Guard(lambda: config).identifies(certificate) is identified
    assert not Guard().identifies(certificate)
    assert Guard(lambda: WebConfig(users={"anna": HASH})).identifies({})


async def test_unknown_names_cost_what_known_ones_do_whatever_that_is(compared: list[str]) -> None:
    """With hashes of several costs, each unknown name always has the same one."""
    guard = Guard(lambda: WebConfig(users={"anna": HASH, "berta": OTHER}))
    for number in range(30):
        for _ in range(2):
            await guard.authenticate(_basic(f"nobody{number}", "wrong"), f"192.0.2.{number}")
    assert compared[::2] == compared[1::2]
    assert set(compared) == {HASH, OTHER}


async def test_guesses_of_one_address_are_limited_and_delay_nobody_who_is_known(compared: list[str]) -> None:
    now = 0.0
    guard = Guard(lambda: WebConfig(users={"anna": HASH}), monotonic=lambda: now)
    assert await guard.authenticate(_basic("anna", "right"), "192.0.2.1")
    for number in range(10):
        assert not await guard.authenticate(_basic("anna", f"guess {number}"), "192.0.2.1")
    with pytest.raises(TooManyAttemptsError) as refused:
        await guard.authenticate(_basic("anna", "guess"), "192.0.2.1")
    assert (refused.value.seconds, len(compared)) == (60, 11)
    assert await guard.authenticate(_basic("anna", "right"), "192.0.2.1")
    assert not await guard.authenticate(_basic("anna", "guess"), "192.0.2.2")
    now = 61.0
    assert not await guard.authenticate(_basic("anna", "guess"), "192.0.2.1")


async def test_few_comparisons_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 wrong passwords at once cost a new client no more than the few comparisons that wait before its own."""
    released = threading.Event()
    monkeypatch.setattr(auth_module, "_matches", lambda *_: released.wait(30) and False)
    guard = Guard(lambda: WebConfig(users={"anna": HASH}))
    guesses = [
        asyncio.create_task(guard.authenticate(_basic("anna", f"guess {number}"), f"192.0.2.{number % 200}"))
        for number in range(400)
    ]
    try:
        await asyncio.sleep(0.1)
        refused = sum(task.done() for task in guesses)
    finally:
        released.set()
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert refused == sum(isinstance(outcome, TooManyAttemptsError) for outcome in outcomes) == 384


async def test_too_many_guesses_are_answered_429(world: World, folder: Path) -> None:
    path = _write(folder, f'basic_auth_users: {{anna: "{HASH}"}}\n')
    async with serve(create_app(world), ("127.0.0.1", 0), path) as (_, port):
        answers = [await _status(port, Authorization=_basic("anna", f"guess {number}")) for number in range(11)]
    assert answers == [401] * 10 + [429]


async def test_a_remembered_password_ends_with_its_hash(compared: list[str]) -> None:
    users = {"anna": HASH}
    guard = Guard(lambda: WebConfig(users=users))
    before = await guard.authenticate(_basic("anna", "right"))
    users["anna"] = OTHER
    assert (before, await guard.authenticate(_basic("anna", "right")), compared) == (True, False, [HASH, OTHER])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_server_config: {cert_file: cert.pem}", ["1: tls_server_config.key_file: is missing"]),
        (
            "tls_server_config: {cert_file: nothing.pem, key_file: key.pem}",
            ['1: tls_server_config.cert_file: "nothing.pem": is not a file that can be read'],
        ),
        (
            "tls_server_config: {cert_file: ca.pem, key_file: key.pem}",
            ["1: tls_server_config: cannot be used: key values mismatch\n  hint: check its files and versions"],
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAnyClientCert}",
            [
                (
                    '1: tls_server_config.client_auth_type: "RequireAnyClientCert": is not supported\n  hint: '
                    "a certificate that is not verified proves nothing; use RequireAndVerifyClientCert"
                )
            ],
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert}",
            ["1: tls_server_config: client_ca_file is missing: client_auth_type needs it"],
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS14, cipher_suites: [RC4]}",
            [
                '1: tls_server_config.min_version: "TLS14": must be one of TLS10, TLS11, TLS12, TLS13',
                '1: tls_server_config.cipher_suites[0]: "RC4": is not a cipher suite known here',
            ],
        ),
        (
            "\nbasic_auth_users:\n  anna: hunter2\n",
            ["3: basic_auth_users.anna: must be a bcrypt hash\n  hint: create one with: htpasswd -nB USER"],
        ),
        ("http_server_config: {headers: {X-Evil: a}}", ["1: http_server_config.headers.X-Evil: unknown key"]),
        ("- a", ["must be a mapping"]),
        (
            """tls_server_config: {cert_file: 7, key_file: key.pem, client_allowed_sans: a, min_version: 9}
http_server_config: {headers: {X-Frame-Options: allow}}
basic_auth_users: {anna: hunter2}
""",
            [
                "1: tls_server_config.cert_file: 7: must be text\n  hint: write it in quotes",
                '1: tls_server_config.client_allowed_sans: "a": must be a list\n  hint: write it in brackets: [...]',
                "1: tls_server_config.min_version: 9: must be one of TLS10, TLS11, TLS12, TLS13",
                '2: http_server_config.headers.X-Frame-Options: "allow": must be deny or sameorigin',
                "3: basic_auth_users.anna: must be a bcrypt hash\n  hint: create one with: htpasswd -nB USER",
            ],
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_told(folder: Path, text: str, told: list[str]) -> None:
    path = _write(folder, text)
    config, problems = load(path)
    lines = [str(problem).removeprefix(f"{path}:").strip() for problem in problems]
    assert config is None
    assert [line.split("\n  hint: known here")[0] for line in lines] == told


@pytest.mark.parametrize(
    "text", ["", "tls_server_config:\nhttp_server_config: {headers: , http2: }\nbasic_auth_users:\n"]
)
def test_keys_without_a_value_ask_for_nothing(folder: Path, text: str) -> None:
    assert load(_write(folder, text)) == (WebConfig(), ())


def test_a_whole_file_is_understood(folder: Path) -> None:
    path = _write(
        folder,
        MUTUAL
        + "  prefer_server_cipher_suites: false\n  curve_preferences: [X25519]\n"
        + f"http_server_config: {{http2: true}}\nbasic_auth_users: {{anna: '{HASH}'}}\n",
    )
    tls = TlsConfig(
        cert_file=folder / "cert.pem",
        key_file=folder / "key.pem",
        client_ca_file=folder / "ca.pem",
        client_auth=ssl.CERT_REQUIRED,
        allowed_sans=frozenset(),
        min_version=ssl.TLSVersion.TLSv1_2,
        max_version=ssl.TLSVersion.TLSv1_3,
        ciphers=(),
        prefer_server_ciphers=False,
    )
    assert load(path) == (WebConfig(tls=tls, users={"anna": HASH}), ())
