"""The agent's state folder, opened for one agent alone."""

from pathlib import Path

from smtpcheck.check.kit import Kit
from smtpcheck.state.database import InUseError
from smtpcheck.state.state import State


class StateFolderError(Exception):
    """The state folder is in use by another agent; the message says which, and what to do."""


async def opened_state(folder: Path, kit: Kit) -> State:
    """Return what is kept in the folder. Raises StateFolderError where another agent has it, and closes the kit."""
    try:
        return await State.kept(folder, kit.wall)
    except InUseError as error:
        await kit.close()
        raise StateFolderError(
            f"the state folder {folder} is in use by another agent. "
            f"Stop that one, or give this one a folder of its own in agent.state"
        ) from error
