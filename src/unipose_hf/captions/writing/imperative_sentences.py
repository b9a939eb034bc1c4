# SPDX-License-Identifier: Apache-2.0
"""Words groups of facts as instructions: imperatives, gerunds after "while", goals, pronouns, connectors."""

from collections.abc import Callable
from typing import NamedTuple

from .aggregate import is_mutual
from .imperatives import DIRECTIONS, INSTRUCTIONS, OBLIGATIONS
from .sentences import capitalise, join_list, object_name, pick, pick_name, subject_names
from .wording import PLURAL_VERBS, phrases_of

CONNECTORS = (", ", " and ", " while ", ", then ", ". ")
MAX_CLAUSES = 5  # in one sentence
_UNNAMED = (("", "body"), ("", "head"))


class Voice(NamedTuple):
    """Choices that stay the same throughout a text."""

    determiner: str  # the, your
    random: Callable[[], float]
    simplify: bool


def describe_changes(groups, determiner, random, *, simplify=False):
    """Words the groups in order ("" for none).

    Args:
        groups: lists of facts that share their subject, or else relation and object.
        determiner: "the" or "your".
        random: a function without arguments that returns a float in [0, 1).
        simplify: always use the full names of parts.
    """
    voice = Voice(determiner, random, simplify)
    groups = [sorted(group, key=is_goal) for group in groups]  # changes before goals
    connectors = _connectors(groups, random)
    gerunds = _gerunds(connectors)
    clauses, named = [], None
    for group, connector, gerund in zip(groups, connectors, gerunds, strict=True):
        subject = _only_subject(group)
        repeated = subject is not None and subject == named and not simplify and connector != ". "
        clauses.append(_clause(group, subject, gerund, repeated, voice))
        # "look left" names no head, and "it" of an object is the object
        named = None if subject in _UNNAMED or any(fact.object for fact in group) else subject
    return _punctuated(clauses, connectors, gerunds)


def _gerunds(connectors):
    """Whether the verb after each connector follows "while", or an "and" that continues it."""
    gerunds = []
    for connector in connectors:
        gerunds.append(connector == " while " or (connector == " and " and gerunds[-1]))
    return gerunds


def _punctuated(clauses, connectors, gerunds):
    """The clauses as sentences, with the commas of a list that ends in "and"."""
    text = ""
    for i, (clause, connector) in enumerate(zip(clauses, connectors, strict=True)):
        if connector == ". ":
            text += f"{'. ' if text else ''}{capitalise(clause)}"
            continue
        following = connectors[i + 1] if i + 1 < len(clauses) else ". "
        if connector == " and " and (following == " and " or (following == ", " and not gerunds[i])):
            connector = ", "  # a, b and c
        elif connector == ", " and _is_last(i, connectors, gerunds):
            connector = ", and "
        elif connector == " and " and (" and " in clause or " and " in clauses[i - 1]):
            connector = ", and "
        text += connector + clause
    return text + "." if text else ""


def _is_last(i, connectors, gerunds):
    """Whether this is the last clause of its mood in the sentence."""
    for connector, gerund in zip(connectors[i + 1 :], gerunds[i + 1 :], strict=True):
        if not gerund:
            return connector == ". "
    return True


def describe_turn(category, random):
    """The sentence about the turn of the whole person, which comes before the rest."""
    phrase = pick(random, INSTRUCTIONS["turn", category])
    return f"{capitalise(phrase.verb)}{phrase.rest}."


def is_goal(fact):
    """Whether the fact is a state to reach rather than a change to make."""
    return fact.relation not in INSTRUCTIONS


def _only_subject(group):
    subjects = {fact.subject for fact in group}
    return subjects.pop() if len(subjects) == 1 else None


def _connectors(groups, random):
    """The connector before each group, drawn uniformly, unless grammar or length forbid it."""
    connectors, used, length, after_goal = [], [], 0, False
    for group in groups:
        connector = pick(random, CONNECTORS) if connectors else ". "
        clauses = len(group) if _only_subject(group) else 1
        goal = is_goal(group[0])
        gerund = bool(used) and _gerunds(used)[-1]
        # a command and a statement can only share a sentence with "while"
        at_odds = goal != after_goal and (after_goal or gerund or connector != " while ")
        if length + clauses > MAX_CLAUSES or at_odds:
            connector = ". "
        elif connector == ", then " and (goal or connector in used):
            connector = ", "
        elif connector == " while " and gerund:
            connector = " and "
        if connector == ". ":
            used, length = [], 0
        used.append(connector)
        connectors.append(connector)
        length += clauses
        after_goal = is_goal(group[-1])
    return connectors


def _clause(group, subject, gerund, repeated, voice):
    changes = [fact for fact in group if not is_goal(fact)]
    goals = group[len(changes) :]
    if not changes:
        return f"{_subject(group, subject, repeated, voice)} {_should(goals, subject, gerund, voice)}"
    if subject is None:
        names = _names(changes, voice)
        return _commands(changes[:1], names, None, gerund, voice)
    pronoun = "them" if subject[0] == "both" else "it"
    name = pronoun if repeated else _name(subject, voice)
    text = _commands(changes, name, pronoun, gerund, voice)
    return text + _outcome(goals, subject, gerund, voice) if goals else text


def _commands(changes, name, pronoun, gerund, voice):
    """One or more imperatives about one subject, which is a pronoun once it has been named."""
    commands = []  # [verb and subject, directions]
    for fact in changes:
        directions = DIRECTIONS[fact.relation]
        if commands and commands[-1][1] and directions and voice.random() < 0.6:
            commands[-1][1].append(pick(voice.random, directions))
            continue
        phrase = pick(voice.random, INSTRUCTIONS[fact.relation])
        verb = phrase.gerund if gerund else phrase.verb
        if phrase.direction:
            commands.append([f"{verb} {name} ", [phrase.direction]])
        else:
            commands.append([verb + phrase.rest.format(s=name, d=voice.determiner), []])
        if phrase.names:
            name = pronoun
    clauses = [
        verb + (join_list(directions).format(d=voice.determiner) if directions else "")
        for verb, directions in commands
    ]
    if len(clauses) > 1 and any(len(directions) > 1 for _, directions in commands):
        return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"
    return join_list(clauses)


def _outcome(goals, subject, gerund, voice):
    """The goal of the part that was just moved."""
    pronoun = "they" if subject[0] == "both" else "it"
    if gerund or voice.random() < 2 / 3:
        return f" so that {pronoun} {_should(goals, subject, True, voice)}"
    return f". {capitalise(pronoun)} {_should(goals, subject, False, voice)}"


def _subject(group, subject, repeated, voice):
    if repeated:
        return "they" if subject[0] == "both" else "it"
    return _name(subject, voice) if subject else _names(group, voice)


def _names(facts, voice):
    """Several subjects; left and right of one part are named together."""
    ends = [fact.subject for fact in facts]
    sides = {part: {side for side, other in ends if other == part} for _, part in ends}
    ends = [("both" if sides[part] >= {"left", "right"} else side, part) for side, part in ends]
    return join_list([_name(end, voice) for end in dict.fromkeys(ends)])


def _should(goals, subject, present, voice):
    """Verbs and what follows them, for one goal of several subjects or several goals of one."""
    plural = subject is None or subject[0] == "both"
    objects = {}  # relation, whether reciprocal -> its objects
    for fact in goals if subject else goals[:1]:
        objects.setdefault((fact.relation, fact.object is None), []).append(fact.object)
    words, last_verb, last_objects = [], None, None
    for (relation, _), others in objects.items():
        phrase = pick(voice.random, phrases_of(relation, subject and subject[1], others[0]))
        verb, rest = phrase.split(" ", 1)
        if others[0]:
            rest = rest.replace("{o}", _objects(others, subject, others == last_objects, voice))
        words.append(rest if verb == last_verb else f"{_conjugated(verb, plural, present)} {rest}")
        last_verb, last_objects = verb, others
    predicate = join_list(words)
    if plural:
        predicate = of_several(predicate)
    # hands and feet: each pair is close together, and not the hands to the feet
    if subject is None and goals[0].object is None and is_mutual(goals[0].relation):
        predicate = predicate.replace("are ", "are each ", 1) if present else f"each {predicate}"
    return predicate if present else f"{pick(voice.random, OBLIGATIONS)[plural]} {predicate}"


def of_several(words):
    """Turns words about one part into words about several: "as far as they go"."""
    return words.replace(" it goes", " they go")


def _conjugated(verb, plural, present):
    if present and not plural:
        return verb
    return "be" if verb == "is" and not present else PLURAL_VERBS[verb]


def _objects(ends, subject, repeated, voice):
    if repeated:
        return "it" if len(ends) == 1 and ends[0][0] in ("left", "right", "") else "them"
    return join_list([_object(end, subject, voice) for end in ends])


def _object(end, subject, voice):
    side, part = end
    name = pick_name(voice.random, object_names(end, voice.determiner))
    if subject and part == subject[1] and side in ("left", "right") and not voice.simplify:
        return pick(voice.random, (name, *other_names(end, voice.determiner)))
    return name


def object_names(end, determiner):
    """The full names of what something is related to."""
    return (object_name(end, determiner),) if end[0] in ("own", "opposite") else part_names(end, determiner)


def other_names(end, determiner):
    """The short names of an object that is the same part as the subject."""
    side, _ = end
    return "the other", f"{determiner} {side} one"


def _name(end, voice):
    return pick_name(voice.random, part_names(end, voice.determiner))


def part_names(end, determiner):
    """The names of what should move or be somewhere."""
    return (f"{determiner} upper body",) if end[1] == "body" else subject_names(end, determiner)
