"""From files to settings, with every problem at once.

Rules of this file:
- A wrong part hides no problem of another part: each credential and each check is validated by itself.
- `agent`, `alerts` and `defaults` are in one file at most and hold for all; `credentials` and `checks` come from
  every file.
- Nothing here raises for what a user wrote. Secrets are read to see that they can be; a command is not run.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from smtpcheck.config.alerts import AlertSettings, alert_settings
from smtpcheck.config.api_limits import lint_api_limits
from smtpcheck.config.contents import Contents, digest_of
from smtpcheck.config.inspection import inspection_plans
from smtpcheck.config.lint import lint_check, lint_credential, lint_scope, lint_secret
from smtpcheck.config.loopback import LoopbackResolver
from smtpcheck.config.mailboxes import Entry, expand
from smtpcheck.config.mistakes import type_hint
from smtpcheck.config.models import AgentSection, CheckSection, DefaultsSection, OtlpSection
from smtpcheck.config.problems import KeyPath, Place, Problems, Source, nearest
from smtpcheck.config.resolve import Resolver
from smtpcheck.config.resolve_via import side_by_side
from smtpcheck.config.settings import AgentSettings, Loaded, Settings
from smtpcheck.config.sharding import short_shares, split
from smtpcheck.config.shared_servers import SharedServers
from smtpcheck.config.tracing import INSTALL, NOT_INSTALLED, Otlp, is_installed
from smtpcheck.config.validation import ConfigSection, Model, keys_of, validated
from smtpcheck.config.variables import expanded
from smtpcheck.config.yaml_reader import Document, read
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.check import Check
from smtpcheck.model.shard import WHOLE, Shard
from smtpcheck.oauth import CREDENTIAL_TYPES
from smtpcheck.oauth.credential import Credential

_SUFFIXES = {".yaml", ".yml"}
_PARTS = ("agent", "defaults", "credentials", "checks", "alerts")
IGNORED = "x-"
"""How a key beside the parts begins that holds nothing but anchors, and is ignored."""


def load(paths: Sequence[Path], *, strict: bool = False, shard: Shard = WHOLE) -> Loaded:
    """Load the configuration from files, and from the `*.yaml` and `*.yml` of folders, in this order.

    The settings are those of `shard`; problems are those of the whole. With `strict` every warning is an error.
    Blocks on files; never raises for what is in them.
    """
    problems, contents = Problems(strict=strict), Contents()
    files = _files(paths, problems)
    documents = [document for path in files if (document := read(path, problems, contents))]
    loading = Loading(problems, contents)
    for document in documents:
        loading.add(document, expanded(document, problems), Path(document.name).parent)
    settings = loading.settings()
    own = None if problems.any_error else loading.split(settings, shard)
    found = problems.in_order(map(str, [*files, *loading.files]))
    return Loaded(None if problems.any_error else own, found, MappingProxyType(contents.digests))


def contents_now(paths: Sequence[Path], known: Iterable[Path]) -> Mapping[Path, str] | None:
    """Return what `load` would note of the files of `paths`, and of further ones that are known, as they are now.

    None where a file of `paths` is not there or cannot be read. Blocks on files.
    """
    named = _files(paths, Problems())
    digests = {path: digest_of(path) for path in dict.fromkeys([*named, *known])}
    return digests if named and all(digests[path] for path in named) else None


def _files(paths: Sequence[Path], problems: Problems) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                problems.error(Place(Document(str(path))), "is a folder without a visible .yaml file")
            files += inside
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES and file.name[0] != ".")
    except OSError:
        return []


class Loading:
    """One configuration as it comes together."""

    def __init__(self, problems: Problems, contents: Contents | None = None) -> None:
        """Report what is found to `problems`; `contents` notes what is read."""
        self._contents = contents or Contents()
        self.files: list[Path] = []
        self._problems = problems
        self._parts: dict[str, tuple[Place, Any, Path | None]] = {}
        self._credentials: dict[str, Credential] = {}
        self._credential_places: dict[str, Place] = {}
        self._entries: list[tuple[Entry, Path | None]] = []
        self._check_places: dict[str, Place] = {}
        self._top: Place | None = None

    def add(self, source: Source, value: Any, folder: Path | None) -> None:
        """Take one document; paths in it are relative to `folder`, or stay as they are."""
        place = Place(source)
        self._top = self._top or place
        if source.name:
            self.files.append(Path(source.name))
        if value is None:
            self._problems.error(place, "is empty")
        elif not isinstance(value, Mapping):
            self._problems.error(place, f"must be a mapping with {', '.join(_PARTS)}")
        else:
            self._add_parts(value, place, folder)

    def _add_parts(self, value: Mapping[str, Any], place: Place, folder: Path | None) -> None:
        for key, part in value.items():
            at = place / key
            if key.startswith(IGNORED):
                continue
            if key not in _PARTS:
                self._problems.error(at, "unknown key", hint=_part_hint(key) or nearest(key, _PARTS))
            elif part is None:
                continue
            elif key == "credentials":
                self._add_credentials(part, at, folder)
            elif key == "checks":
                self._add_checks(part, at, folder)
            elif key in self._parts:
                other = self._parts[key][0]
                self._problems.error(
                    at, f"is already in {_where(other)}", hint="keep it in one file; it applies to all"
                )
            else:
                self._parts[key] = (at, part, folder)

    def _add_credentials(self, part: Any, place: Place, folder: Path | None) -> None:
        if not isinstance(part, Mapping):
            self._problems.error(place, "must be a mapping from a name to a credential")
            return
        for name, raw in part.items():
            at = place / name
            if name in self._credential_places:
                message = f"a credential of this name is already in {_where(self._credential_places[name])}"
                self._problems.error(at, message)
                continue
            self._credential_places[name] = at
            credential = self._credential(raw, at, folder)
            if credential is not None:
                self._credentials[name] = credential

    def _credential(self, raw: Any, place: Place, folder: Path | None) -> Credential | None:
        types = {str(kind.model_fields["type"].default): kind for kind in CREDENTIAL_TYPES}
        if not isinstance(raw, Mapping):
            self._problems.error(place, "must be a mapping", hint=f"start with type: {' or '.join(types)}")
            return None
        given = raw.get("type")
        kind = types.get(given) if isinstance(given, str) else None
        if kind is None:
            message = "there is no such type" if "type" in raw else "is missing"
            word = given if isinstance(given, str) else ""
            self._problems.error(place / "type", message, value=given, hint=type_hint(word) or nearest(word, types))
            return None
        return validated(kind, raw, place.__add__, self._problems, folder)

    def _add_checks(self, part: Any, place: Place, folder: Path | None) -> None:
        if not isinstance(part, list):
            self._problems.error(place, "must be a list of checks", hint='start each one with "- name:"')
            return
        for index, raw in enumerate(part):
            if not isinstance(raw, Mapping):
                self._problems.error(place / index, "must be a mapping", hint="start it with name:")
                continue
            entries, table = expand(raw, place / index, folder, self._contents, self._problems)
            self._entries += [(entry, folder) for entry in entries]
            if table is not None and table not in self.files:
                self.files.append(table)

    def settings(self) -> Settings:
        """Return what came together; of use only if no problem is an error."""
        agent = self._part("agent", AgentSection) or AgentSection()
        defaults = self._part("defaults", DefaultsSection) or DefaultsSection()
        if agent.token_key is not None:
            lint_secret(agent.token_key, self._parts["agent"][0] / "token_key", self._problems)
        for name, credential in self._credentials.items():
            lint_credential(credential, self._credential_places[name], self._problems)
        checks, loopbacks = self._checks(defaults)
        self._lint_scopes(checks, loopbacks)
        lint_api_limits(checks, loopbacks, self._credential_places, self._problems)
        if not self._entries and self._top is not None and not self._problems.any_error:
            self._problems.error(self._top / "checks", "there is no check")
        return Settings(
            agent=AgentSettings(
                listen=agent.listen,
                state=agent.state or default_state_folder(),
                max_open_connections=agent.max_open_connections,
                expose_addresses=agent.expose_addresses,
                fresh_every=agent.fresh_every,
                token_key=agent.token_key,
                otlp=self._otlp(agent.otlp) if agent.otlp else None,
                connectivity=agent.connectivity,
                external_url=agent.external_url or "",
            ),
            credentials=MappingProxyType(self._credentials),
            checks=checks,
            loopbacks=MappingProxyType(loopbacks),
            inspections=MappingProxyType(
                inspection_plans(self._credentials, self._credential_places, checks, self._problems)
            ),
            label_names=tuple(sorted({name for check in checks for name, _ in check.labels})),
            alerts=self._alerts(checks),
            files=tuple(self.files),
        )

    def _lint_scopes(self, checks: tuple[Check, ...], loopbacks: Mapping[str, Loopback]) -> None:
        """Report scopes that cannot work, by what uses the credential: SMTP, or a mail API, a finder, an inspection."""
        by_smtp = {check.credential for check in checks if check.via is None}
        by_api = {check.credential for check in checks if check.via is not None}
        by_api |= {find.credential for loopback in loopbacks.values() for find in loopback.searched}
        by_api |= {keys.by for each in self._credentials.values() if (keys := getattr(each, "inspect", None))}
        for name, credential in self._credentials.items():
            for_smtp = name in by_smtp or name not in by_api
            place = self._credential_places[name] / "scope"
            lint_scope(credential, place, for_smtp=for_smtp, problems=self._problems)

    def split(self, settings: Settings, shard: Shard) -> Settings:
        """Return what a shard runs of the settings; a problem for each share of a cap that is too small."""
        own = split(settings, shard)
        for short in short_shares(settings, own.sharding):
            hint = "send less often, raise the limits, or divide the checks among fewer agents"
            self._problems.error(self._check_places[short.check], short.message, hint=hint)
        return own

    def _alerts(self, checks: tuple[Check, ...]) -> AlertSettings | None:
        if "alerts" not in self._parts:
            return None
        place, raw, folder = self._parts["alerts"]
        return alert_settings(raw, place, folder, checks, self._problems)

    def _otlp(self, section: OtlpSection) -> Otlp:
        place = self._parts["agent"][0] / "otlp"
        for name, source in section.headers.items():
            lint_secret(source, place / "headers" / name, self._problems)
        if not is_installed():
            self._problems.error(place, NOT_INSTALLED, hint=INSTALL)
        return Otlp(section.endpoint, MappingProxyType(section.headers))

    def _part(self, key: str, model: type[Model]) -> Model | None:
        if key not in self._parts:
            return None
        place, raw, folder = self._parts[key]
        return validated(model, raw, place.__add__, self._problems, folder)

    def _checks(self, defaults: DefaultsSection) -> tuple[tuple[Check, ...], dict[str, Loopback]]:
        resolver = Resolver(defaults, self._credentials, self._credential_places, self._problems, self._contents)
        sending = LoopbackResolver(self._credentials, self._credential_places, self._problems)
        servers = SharedServers()
        checks: list[Check] = []
        loopbacks: dict[str, Loopback] = {}
        for entry, folder in self._entries:
            self._check_name(entry, self._check_places)
            resolver.check_reference(entry)
            section = validated(CheckSection, servers.put_into(entry.raw, folder), entry.at, self._problems, folder)
            check = resolver.check(section, entry) if section else None
            if check is not None:
                lint_check(check, self._credentials.get(check.credential or ""), entry, self._problems)
                checks.append(check)
            if check is not None and section is not None and section.loopback is not None:
                loopback = sending.loopback(section.loopback, check, partial(_within, entry, "loopback"))
                loopbacks |= {check.name: loopback} if loopback else {}
        self.files += [path for path in resolver.api_files.paths if path not in self.files]
        return side_by_side(checks), loopbacks

    def _check_name(self, entry: Entry, taken: dict[str, Place]) -> None:
        name, at = entry.raw.get("name"), entry.at(("name",))
        if isinstance(name, str) and name in taken:
            self._problems.error(at, f"another check has this name: {_where(taken[name])}", value=name)
        elif isinstance(name, str):
            taken[name] = at


def _within(entry: Entry, key: str, path: KeyPath) -> Place:
    """Return where the value at `path` within a section of a check is."""
    return entry.at((key, *path))


def _part_hint(key: object) -> str:
    """Return which part a key belongs to that is beside the parts; empty where none has it."""
    parts: dict[str, type[ConfigSection]] = {"agent": AgentSection, "defaults": DefaultsSection}
    return next((f"it belongs under {name}" for name, part in parts.items() if key in keys_of(part)), "")


def _where(place: Place) -> str:
    return f"{place.source.name}:{place.source.line(place.path)}"


def default_state_folder() -> Path:
    """Return /var/lib/smtpcheck for root, else the user's folder by the XDG Base Directory Specification."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/smtpcheck")
    configured = os.environ.get("XDG_STATE_HOME", "")
    root = Path(configured) if Path(configured).is_absolute() else Path.home() / ".local" / "state"
    return root / "smtpcheck"
