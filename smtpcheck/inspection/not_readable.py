"""What a question raises that cannot be answered now; the inspector turns it into a value."""

from smtpcheck.model.inspection import Obstacle


class NotReadableError(Exception):
    """A question that cannot be answered now."""

    def __init__(self, obstacle: Obstacle, detail: str) -> None:
        """Say why, as part of a sentence; without one, what the question needs is said."""
        super().__init__(detail)
        self.obstacle = obstacle
        self.detail = detail
