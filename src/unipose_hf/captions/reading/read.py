# SPDX-License-Identifier: Apache-2.0
"""Parses captions and instructions: the codes that a text states, and how much of it could not be read.

The inverse of `caption_poses` and `instruct_pairs`, for texts by a model trained on them. A text is read from left to
right; names, pronouns and phrases are matched with everything the writers can say, longest match first.
"""

import itertools
from typing import NamedTuple

from unipose_hf.captions.writing.imperative_sentences import CONNECTORS

from .read_lexicon import PERSON, Commands, States, caption_states, commands, goal_states, longest_run, tokens

_JOINTS = frozenset(tokens(" ".join((*CONNECTORS, "with"))))
_LIST = frozenset((",", "and"))
_PRONOUNS = frozenset(("it", "they", "them"))


class Reading(NamedTuple):
    """What a text states.

    ``statements`` are all distinct statements. An ambiguous statement ("the left hand is level with the left hip":
    across or along the body) has several readings, others have one; a reading is a tuple of codes (code name, category
    name), several if parts were merged ("both knees"). ``clauses`` is the number of clauses, and ``unread`` the number
    of those that the writers could not have produced.
    """

    statements: list[tuple[tuple[tuple[str, str], ...], ...]]
    clauses: int
    unread: int

    @property
    def codes(self) -> list[tuple[str, str]]:
        """The stated codes; for ambiguous statements, those of the first reading."""
        return list(dict.fromkeys(code for readings in self.statements for code in readings[0]))


def read_caption(text: str) -> Reading:
    """The posecodes that a caption states.

    Raises:
        ValueError: `text` is not a string.
    """
    return _Reader(text, caption_states(), Commands({}, {}, {})).read()


def read_instruction(text: str) -> Reading:
    """The paircodes that an instruction states, and the posecodes that it states as goals.

    Raises:
        ValueError: `text` is not a string.
    """
    return _Reader(text, goal_states(), commands()).read()


class _Reader:
    def __init__(self, text, states: States, orders: Commands):
        if not isinstance(text, str):
            raise ValueError(f"text is of type {type(text).__name__}; expected a string, one text at a time.")
        self.words, self.at = tokens(text), 0
        self.states, self.orders = states, orders
        self.subjects: list = []  # current subjects: lists of (side, part), one for each referent of a pronoun
        self.waits = False  # whether a predicate about them is still missing
        self.objects: list = []  # referents of "it" and "them" after a phrase
        self.moves = False  # whether the last clause was a movement, which may continue in another direction
        self.statements: dict = {}
        self.clauses = self.unread = 0

    def read(self):
        while self.at < len(self.words):
            if not (self._joint() or self._command() or self._continuation() or self._state() or self._subject()):
                self._skip()
        self._end_wait()
        return Reading(list(self.statements), self.clauses, self.unread)

    def _runs(self, table, at):
        """(entry, end) of the word sequences from `at` that are in a table, longest first."""
        for end in range(min(at + longest_run(), len(self.words)), at, -1):
            run = " ".join(self.words[at:end])
            if run in table:
                yield table[run], end

    def _joint(self):
        """Reads what separates clauses or precedes a phrase."""
        word = self.words[self.at]
        if word in _JOINTS:
            if word not in _LIST:
                self._end_wait()
                self.moves = False
            self.at += 1
            return True
        for _, end in self._runs(self.states.fillers, self.at):
            self.at = end
            return True
        return False

    def _end_wait(self):
        if self.waits:
            self._count(read=False)

    def _count(self, read):
        self.waits = False
        self.clauses += 1
        self.unread += not read

    def _skip(self):
        """Skips words without meaning here."""
        self._count(read=False)
        self.moves = False
        while self.at < len(self.words) and self.words[self.at] not in _JOINTS:
            self.at += 1

    def _take(self, stated, end, moves=False):
        """Records the statement of a clause."""
        self.statements.update(dict.fromkeys(stated))
        self._count(read=True)
        self.at, self.moves = end, moves
        return True

    def _command(self):
        for table, end in self._runs(self.orders.whole, self.at):
            return self._take([tuple(readings) for readings in table.values()], end)
        for rests, verb_end in self._runs(self.orders.named, self.at):
            for subjects, behind in self._named_from(verb_end):
                for table, end in (*self._runs(rests, behind), (rests.get("", {}), behind)):
                    if all(subject in table for subject in subjects):
                        self.subjects = [subjects]
                        return self._take([tuple(table[subject]) for subject in subjects], end, moves=True)
        return False

    def _named_from(self, at):
        """[(parts, end)], the longest list of names first."""
        if at < len(self.words) and self.words[at] in _PRONOUNS:
            return [(subjects, at + 1) for subjects in self.subjects]
        names = self._list_from(self.states.subjects, at)
        return [([name for name, _, _ in names[:count]], names[count - 1][2]) for count in range(len(names), 0, -1)]

    def _list_from(self, table, at):
        """[(entry, start, end)] of the names from `at`, with "," and "and" between them."""
        names = []
        while run := next(self._runs(table, at), None):
            entry, end = run
            names.append((entry, at, end))
            at = end
            while at < len(self.words) and self.words[at] in _LIST:
                at += 1
            if at == end:
                break
        return names

    def _continuation(self):
        if self.moves:
            for table, end in self._runs(self.orders.continuations, self.at):
                if all(subject in table for subject in self.subjects[0]):
                    return self._take([tuple(table[subject]) for subject in self.subjects[0]], end, moves=True)
        return False

    def _state(self):
        for tables, behind in self._runs(self.states.phrases, self.at):
            for objects, end in (*self._objects_from(behind), ([((None,), False)], behind)):
                for subjects in self.subjects:
                    stated = [_readings(tables, subject, *object) for subject in subjects for object in objects]
                    if all(stated):
                        self.subjects, self.objects = [subjects], objects
                        return self._take(stated, end)
        return False

    def _objects_from(self, at):
        """[(objects, end)] of what follows a phrase: one object in captions, any number in instructions."""
        if at < len(self.words) and self.words[at] in _PRONOUNS:
            return [(self.objects, at + 1)] if self.objects else []
        names = self._list_from(self.states.objects, at)
        if not names:
            return []
        names = names[: self._count_objects(names) if self.orders.named else 1]
        return [([name for name, _, _ in names], names[-1][2])]

    def _count_objects(self, names):
        """How many of the names are objects: if a verb follows, the last of them are its subjects."""
        end = names[-1][2]
        if not any(True for table in (self.states.phrases, self.states.fillers) for _ in self._runs(table, end)):
            return len(names)
        splits = (n for n in range(len(names) - 1, 0, -1) if self._is_list(names[:n]) and self._is_list(names[n:]))
        return next(splits, max(len(names) - 1, 1))

    def _is_list(self, names):
        """Whether the names are joined as "a, b and c"."""
        gaps = [self.words[end:start] for (_, _, end), (_, start, _) in itertools.pairwise(names)]
        return not gaps or gaps == [[","]] * (len(gaps) - 1) + [["and"]]

    def _subject(self):
        """A name or a pronoun; after a name without a predicate, another of several subjects."""
        word = self.words[self.at]
        if word in _PRONOUNS:
            if word == "they":
                self.subjects = [*self.subjects, [PERSON]]
            self.at, self.waits = self.at + 1, True
            return True
        for name, end in self._runs(self.states.subjects, self.at):
            self.subjects = [[*subjects, name] for subjects in self.subjects] if self.waits else [[name]]
            self.at, self.waits = end, True
            return True
        return False


def _readings(tables, subject, ends, same_part):
    """The readings in tables of phrases for a subject and one object."""
    known = (
        reading
        for table, end in itertools.product(tables, ends)
        if not same_part or end[1] == subject[1]
        for reading in table.get((subject, end), ())
    )
    return tuple(dict.fromkeys(known))
