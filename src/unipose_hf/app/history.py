# SPDX-License-Identifier: Apache-2.0
"""The history of one pose's edits: a tree, so that going back and editing again keeps the other branch."""

from dataclasses import dataclass, replace

from ..modeling.pose_unipose import Pose


@dataclass(frozen=True)
class Step:
    """A pose, the request that led to it, and the index of the step it was made from (None for the first)."""

    pose: Pose
    text: str
    parent: int | None = None


@dataclass(frozen=True)
class History:
    """Immutable: each method returns another history.

    steps: in the order in which they were made.
    at: index of the current step.
    """

    steps: tuple[Step, ...] = ()
    at: int = 0

    @classmethod
    def start(cls, pose: Pose, text: str) -> "History":
        """A history of one step."""
        return cls((Step(pose, text),))

    @property
    def pose(self) -> Pose:
        """The current pose; `ValueError` if there is none yet."""
        if not self.steps:
            raise ValueError(
                "There is no pose yet; generate one from a text, estimate one from a picture, or search for one."
            )
        return self.steps[self.at].pose

    @property
    def before(self) -> Pose | None:
        """The pose that the current one was made from; None for the first."""
        parent = self.steps[self.at].parent if self.steps else None
        return None if parent is None else self.steps[parent].pose

    def add(self, pose: Pose, text: str) -> "History":
        """A step made from the current one, which becomes current. From an earlier step this starts a branch."""
        if not self.steps:
            return History.start(pose, text)
        return History((*self.steps, Step(pose, text, self.at)), len(self.steps))

    def undo(self) -> "History":
        """Back to the step that the current one was made from; no step is lost."""
        if not self.steps or self.steps[self.at].parent is None:
            raise ValueError("There is nothing to undo; this is the first pose.")
        return replace(self, at=self.steps[self.at].parent)

    def go(self, number: int) -> "History":
        """Make another step current."""
        if not 0 <= number < len(self.steps):
            raise ValueError(f"There is no step {number + 1}; the history has {len(self.steps)}.")
        return replace(self, at=number)

    def labels(self) -> list[str]:
        """A line for each step: its number, where it branches off, and its text."""
        lines = []
        for number, step in enumerate(self.steps):
            branch = "" if step.parent in (None, number - 1) else f" (from {step.parent + 1})"
            lines.append(f"{number + 1}{branch}. {step.text}")
        return lines
