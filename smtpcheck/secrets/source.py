"""Where a secret comes from: a file, a variable of the environment, a command, or the configuration itself.

Rules of this file:
- A secret is read when it is used, not when the configuration is loaded: a rotated secret needs no restart. A file is
  read again when its time, size or inode has changed, and otherwise served from memory.
- What goes wrong is reported by the name of the file, variable or command, never by anything of its content.
- A command is run without a shell, never by validation alone, and has ten seconds. It is run at most
  once a minute; until then its value, or its failure, is served from memory.
- A command does not inherit the variables that hold secrets of the configuration.
- One line end at the end of a file is dropped, for editors and `echo` put it there; `warnings()` reports it, because
  another application that reads the same file may send it.
"""

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from smtpcheck.secrets.file_state import FileState, state_of
from smtpcheck.secrets.secret import Secret

COMMAND_SECONDS = 10.0
"""How long a command may take."""
COMMAND_SPACING_SECONDS = 60.0
"""How long its value is served from memory."""

_MAX_BYTES = 64 * 1024
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}")
"""A variable of the environment as the configuration writes it; no secret is replaced by one."""
_BYTE_ORDER_MARK = "\ufeff"


class SecretWarning(StrEnum):
    """What is suspicious about a secret that can be read."""

    LINE_END = "line_end"
    """It ends with a line end. The one of a file is dropped, any other is part of the secret."""
    BLANK = "blank"
    """It starts or ends with a space."""
    BYTE_ORDER_MARK = "byte_order_mark"
    """The file begins with a byte order mark, which is dropped."""
    GUID = "guid"
    """It has the form of a GUID: Microsoft shows the id of a client secret beside its value."""
    VARIABLE = "variable"
    """It is written as a variable of the environment, which nothing has replaced."""


class ReadSecret(Secret):
    """A secret as it was read, with what is suspicious about its text."""

    __slots__ = ("warnings",)

    def __init__(self, text: str, /, *, from_file: bool = False) -> None:
        value = text
        if from_file:
            value = text.removeprefix(_BYTE_ORDER_MARK).removesuffix("\n")
            value = value.removesuffix("\r") if text.endswith("\r\n") else value
        super().__init__(value)
        self.warnings = frozenset(_warnings(text))
        """See `SecretWarning`."""


def _warnings(text: str) -> list[SecretWarning]:
    found = []
    inner = text.removeprefix(_BYTE_ORDER_MARK)
    core = inner.strip("\r\n")
    if inner != text:
        found.append(SecretWarning.BYTE_ORDER_MARK)
    if inner != core:
        found.append(SecretWarning.LINE_END)
    if core != core.strip():
        found.append(SecretWarning.BLANK)
    if _GUID.fullmatch(core.strip()):
        found.append(SecretWarning.GUID)
    if VARIABLE.fullmatch(core.strip()):
        found.append(SecretWarning.VARIABLE)
    return found


class SecretUnreadableError(Exception):
    """A secret cannot be read. Says which source and why, and nothing of any content."""

    def __init__(self, source: "SecretSource", reason: str) -> None:
        """Name the source and the reason, a part of a sentence: `is not set`."""
        super().__init__(f"{source} {reason}")
        self.source = source
        self.reason = reason


def _absolute(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return Path(folder) / path if folder is not None else path


ConfiguredPath = Annotated[Path, AfterValidator(_absolute)]
"""A path that is relative to the configuration's folder: the `folder` of the validation context, if there is one."""


def _as_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return ReadSecret(value)
    raise ValueError("must be text; write it in quotes")


_SecretText = Annotated[
    Secret, PlainValidator(_as_secret, json_schema_input_type=str), PlainSerializer(lambda _: "***", return_type=str)
]


_secret_variables: set[str] = set()
"""The variables of the environment that a configuration has named as secrets."""


class _Memory:
    """What was read last. It is not a part of what a source is: two sources are equal whatever they have read."""

    def __init__(self) -> None:
        self.content: tuple[FileState, ReadSecret] | None = None
        self.printed: tuple[float, ReadSecret | SecretUnreadableError] | None = None
        self.running = threading.Lock()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Memory)

    __hash__ = None  # type: ignore[assignment]


class SecretSource(BaseModel):
    """Where a secret comes from; exactly one of the four."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"minProperties": 1, "maxProperties": 1},
    )

    KINDS: ClassVar[tuple[str, ...]] = ("file", "env", "command", "value")

    file: ConfiguredPath | None = Field(
        default=None, description="A file with the secret; relative to the config file."
    )
    env: str | None = Field(default=None, min_length=1, description="The name of an environment variable with it.")
    command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="A program and its arguments that print it; run without a shell.",
    )
    value: _SecretText | None = Field(default=None, description="The secret itself; better kept elsewhere.")

    _memory: _Memory = PrivateAttr(default_factory=_Memory)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in self.KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"has {' and '.join(given)}" if given else "has none of them"
            raise ValueError(f"must have exactly one of {', '.join(self.KINDS[:-1])} and {self.KINDS[-1]}; it {found}")
        if self.env is not None:
            _secret_variables.add(self.env)
        return self

    def __str__(self) -> str:
        if self.file is not None:
            return f"file {self.file}"
        if self.env is not None:
            return f"variable {self.env}"
        if self.command is not None:
            return f"command {self.command[0]}"
        return "value"

    def read(self) -> Secret:
        """Return the secret as it is now.

        Blocks: on a file, or on a command for at most `COMMAND_SECONDS`.

        Raises:
            SecretUnreadableError: The source is missing, empty, refused, not text, or did not end in time.
        """
        secret = self._read()
        if not secret:
            raise SecretUnreadableError(self, "is empty")
        return secret

    def warnings(self) -> frozenset[SecretWarning]:
        """Return what is suspicious about the secret; of a command nothing is known, for it is not run.

        Raises:
            SecretUnreadableError: As `read()`.
        """
        if self.command is not None:
            return frozenset()
        secret = self.read()
        return secret.warnings if isinstance(secret, ReadSecret) else frozenset()

    def _read(self) -> Secret:
        if self.file is not None:
            return self._from_file(self.file)
        if self.env is not None:
            return self._from_variable(self.env)
        if self.command is not None:
            return self._from_command(self.command)
        assert self.value is not None  # noqa: S101 - the validator has seen to it
        return self.value

    def _from_file(self, path: Path) -> Secret:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise SecretUnreadableError(self, "is not a regular file")
            memory = self._memory.content
            if memory is not None and memory[0] == state_of(found):
                return memory[1]
            with path.open("rb") as file:
                state = state_of(os.fstat(file.fileno()))
                content = file.read(_MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise SecretUnreadableError(self, _reason(error)) from None
        secret = ReadSecret(self._decode(content), from_file=True)
        self._memory.content = (state, secret)
        return secret

    def _from_variable(self, name: str) -> Secret:
        try:
            value = os.environ.get(name)
        except ValueError:
            value = None
        if value is None:
            raise SecretUnreadableError(self, "is not set")
        return ReadSecret(value)

    def _from_command(self, command: tuple[str, ...]) -> Secret:
        memory = self._memory
        with memory.running:
            if memory.printed is None or time.monotonic() >= memory.printed[0] + COMMAND_SPACING_SECONDS:
                try:
                    printed: ReadSecret | SecretUnreadableError = self._printed_by(command)
                except SecretUnreadableError as error:
                    printed = error
                memory.printed = (time.monotonic(), printed)
            printed = memory.printed[1]
        if isinstance(printed, SecretUnreadableError):
            raise SecretUnreadableError(self, printed.reason)
        return printed

    def _printed_by(self, command: tuple[str, ...]) -> ReadSecret:
        try:
            status, output = _run(command)
        except TimeoutError:
            raise SecretUnreadableError(self, f"did not finish within {COMMAND_SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            raise SecretUnreadableError(self, _reason(error)) from None
        text = self._decode(output)
        if status != 0:
            raise SecretUnreadableError(self, f"exited with status {status}")
        return ReadSecret(text, from_file=True)

    def _decode(self, content: bytes) -> str:
        if len(content) > _MAX_BYTES:
            raise SecretUnreadableError(self, f"exceeds {_MAX_BYTES // 1024} KiB, too much for a secret")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretUnreadableError(self, "is not UTF-8 text") from None


def _run(command: tuple[str, ...]) -> tuple[int, bytes]:
    """Return the exit status of a command and what it prints, of more than a secret can be only the beginning.

    Raises TimeoutError where it does not end in time, and OSError or ValueError where it cannot be started.
    """
    end = time.monotonic() + COMMAND_SECONDS
    process = subprocess.Popen(  # noqa: S603 - the configuration names it
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name not in _secret_variables},
        start_new_session=True,
    )
    printed: list[bytes] = []
    # A process that inherits the pipe keeps it open, and a read cannot be cancelled; a thread can be abandoned.
    reader = threading.Thread(target=_read, args=(process.stdout, printed), name="secret command", daemon=True)
    reader.start()
    try:
        reader.join(COMMAND_SECONDS)
        if reader.is_alive():
            raise TimeoutError
        if len(printed[0]) > _MAX_BYTES:
            return 0, printed[0]
        return process.wait(max(end - time.monotonic(), 0.0)), printed[0]
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        if process.returncode is None:
            _kill(process)


def _read(pipe: IO[bytes], printed: list[bytes]) -> None:
    with pipe:
        printed.append(pipe.read(_MAX_BYTES + 1))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it has started."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def files_of(*sources: SecretSource | None) -> tuple[Path, ...]:
    """Return the files among the sources."""
    return tuple(source.file for source in sources if source is not None and source.file is not None)


def _reason(error: OSError | ValueError) -> str:
    """Return what the system says, without the arguments that its own text would repeat."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be used ({error.strerror.lower()})"
    return "cannot be used"
