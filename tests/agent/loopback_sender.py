"""An agent that sends and finds until it is killed: `python -m tests.agent.loopback_sender CONFIG`.

It keeps every message of its checks, so that a test can account for all that was ever sent.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

from smtpcheck.agent.agent import Agent
from smtpcheck.config import load
from smtpcheck.loopback import message_state
from smtpcheck.state import database


async def run(config: Path) -> None:
    """Run the agent for ever."""
    again = partial(load, [config])
    settings = again().settings
    assert settings
    agent = await Agent.create(settings, again, first_within=0.2)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await agent.run(asyncio.Event())


if __name__ == "__main__":
    message_state.KEPT_MESSAGES = 100_000
    database._IDLE_SECONDS = 0.01
    asyncio.run(run(Path(sys.argv[1])))
