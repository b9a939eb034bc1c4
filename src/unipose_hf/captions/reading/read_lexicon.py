# SPDX-License-Identifier: Apache-2.0
"""The lexicon of `read_caption`: everything that the writers of captions and instructions can say.

Built from the writers' own tables and functions, so that a changed wording is also parsed. Words are in lower case,
with one space between tokens (`tokens`).
"""

import functools
import itertools
import re
from typing import NamedTuple

from unipose_hf.captions.instruct import _CHANGE_FACTS, TURN_CODE
from unipose_hf.captions.posecodes.facts import POSE_FACTS, Fact
from unipose_hf.captions.posecodes.joint_sets import SIDES
from unipose_hf.captions.posecodes.measure import _LEVELS, _SUPER_LEVELS
from unipose_hf.captions.posecodes.measure_pairs import _TARGET_LEVELS, _TARGET_SUPER_LEVELS
from unipose_hf.captions.writing import imperative_sentences, sentences
from unipose_hf.captions.writing.aggregate import every_join, swap_sides
from unipose_hf.captions.writing.imperatives import DETERMINERS, DIRECTIONS, INSTRUCTIONS, KEEP_POSE, OBLIGATIONS
from unipose_hf.captions.writing.wording import (
    ALONE,
    ANGLE_SUBJECTS,
    GERUNDS,
    PERSONS,
    PLURAL_VERBS,
    WITH_OBJECT,
    phrases_of,
)

PERSON = ("", "person")  # subject of statements about the body, and about the head in "the person looks up"


class States(NamedTuple):
    """How the state of a pose is expressed.

    A reading is a possible meaning, a tuple of codes (code name, category name).
    """

    subjects: dict[str, tuple[str, str]]  # name -> the (side, part) it names
    objects: dict[str, tuple[dict, bool]]  # name -> what it may name, and whether only of the same part as the subject
    phrases: dict[str, list[dict]]  # words -> tables (subject, object that follows or None) -> readings
    fillers: dict[str, None]  # words before a phrase that do not change its meaning


class Commands(NamedTuple):
    """How a change is expressed as a command."""

    whole: dict[str, dict]  # a command that does not name what should move -> {subject: readings}
    named: dict[str, dict]  # verb -> {what follows the name of the part: {subject: readings}}
    continuations: dict[str, dict]  # further directions that may follow such a command -> {subject: readings}


def tokens(text):
    """Words and marks of a text, in lower case."""
    return re.findall(r"[\w'’-]+|[^\w\s]", text.lower())


@functools.cache
def caption_states() -> States:
    """What captions can say."""
    facts = _state_facts(_LEVELS, _SUPER_LEVELS)
    facts += [fact._replace(object=None) for fact in facts if sentences._is_obvious(fact)]
    return States(
        {name: PERSON for person in PERSONS.values() for name in (*person.nouns, person.pronoun)}
        | _names(facts, PERSONS, sentences.subject_names),
        _object_names(facts, PERSONS, _full_name_in_captions, _other_names_in_captions),
        _phrases(facts),
        {},
    )


def _full_name_in_captions(end, determiner):
    return (sentences.object_name(end, determiner),)


def _other_names_in_captions(end, _):
    return sentences.other_names(end)


@functools.cache
def goal_states() -> States:
    """What instructions can say about the final pose."""
    facts = _state_facts(_TARGET_LEVELS, _TARGET_SUPER_LEVELS)
    return States(
        _names([*facts, *_change_facts()], DETERMINERS, imperative_sentences.part_names),
        _object_names(facts, DETERMINERS, imperative_sentences.object_names, imperative_sentences.other_names),
        _phrases(facts),
        dict.fromkeys(("so that", *itertools.chain.from_iterable(OBLIGATIONS))),
    )


def _state_facts(levels, super_levels):
    """The facts about a pose that can be worded, from either end.

    Includes the facts that a writer may state (positive level, one row per code), alone or merged, and measurable
    facts that no writer would state, if the same words have no other meaning.
    """
    rows = [*levels.tolist(), *([0, level] for level in super_levels.tolist())]
    stated = {
        row[k].codes[0] for row, marks in zip(POSE_FACTS, rows, strict=True) for k, mark in enumerate(marks) if mark
    }
    known = [fact for row in POSE_FACTS for fact in row if fact and _has_words(fact)]
    joined = every_join(fact for fact in known if fact.codes[0] in stated)
    facts = _from_either_end(joined)
    meanings = {fact[1:] for fact in facts}
    return facts + [fact for fact in _from_either_end(known) if fact[1:] not in meanings]


def _from_either_end(facts):
    draws = [*itertools.product((0.0, 0.99), repeat=2)]  # these draws give every wording of left and right
    swapped = (swap_sides([fact], iter(two).__next__)[0] for fact, two in itertools.product(facts, draws))
    return [fact for fact in dict.fromkeys(swapped) if _has_words(fact)]


def _has_words(fact):
    if fact.object:
        return fact.relation in WITH_OBJECT
    return any(relation[: len(fact.relation)] == fact.relation for relation in ALONE)


def _subjects(fact):
    """The subjects of a fact: the part; for an angle also the limb; for the whole body and the head also the
    person."""
    side, part = fact.subject
    if fact.relation[0] == "angle":
        return [(side, name) for name in ANGLE_SUBJECTS[part]]
    return {"body": [PERSON], "head": [fact.subject, PERSON]}.get(part, [fact.subject])


def _names(facts, determiners, names):
    """Name -> the part it names."""
    ends = {end for fact in facts for end in (fact.subject, *_subjects(fact)) if end != PERSON}
    return {_key(name): end for end in ends for determiner in determiners for name in names(end, determiner)}


def _object_names(facts, determiners, full_names, other_names):
    """Name -> the parts it may name as an object, and whether only if the subject is the same part."""
    named = {}
    ends = dict.fromkeys(fact.object for fact in facts if fact.object)
    for end, determiner in itertools.product(ends, determiners):
        for name in full_names(end, determiner):
            named.setdefault(_key(name), ({}, False))[0][end] = None
        for name in other_names(end, determiner) if end[0] in SIDES else ():
            named.setdefault(_key(name), ({}, True))[0][end] = None
    return named


def _phrases(facts):
    meanings = {}  # phrase -> (subject, object) -> readings
    for fact in facts:
        for subject in _subjects(fact):
            for phrase in _phrases_of(fact, subject):
                _add(meanings.setdefault(phrase.removesuffix(" {o}"), {}), (subject, fact.object), fact)
    phrases = {}
    for phrase, meaning in meanings.items():
        for form in _forms(phrase):
            phrases.setdefault(form, []).append(meaning)
    return phrases


def _add(meanings, key, fact):
    readings = meanings.setdefault(key, [])
    if fact.codes not in readings:
        readings.append(fact.codes)


def _phrases_of(fact, subject):
    """The phrases for a fact about one subject or several."""
    part = fact.subject[1]
    if subject == PERSON:
        return phrases_of(fact.relation, "person" if part == "head" else part, fact.object)
    several = () if part == "head" else phrases_of(fact.relation, None, fact.object)
    return dict.fromkeys((*phrases_of(fact.relation, part, fact.object), *several))


def _forms(phrase):
    """A phrase in all the forms of its verb: is, are, should be, or left out."""
    verb, rest = phrase.split(" ", 1)
    starts = [verb, PLURAL_VERBS[verb], GERUNDS.get(verb, verb)]
    if verb == "is":
        starts += ["be", "", "are each", "each be", "each"]
    forms = {f"{start} {form}".strip() for start in starts for form in (rest, imperative_sentences.of_several(rest))}
    return {_key(form.replace("{d}", person.possessive)) for form in forms for person in PERSONS.values()}


def _key(words):
    return " ".join(tokens(words))


@functools.cache
def commands() -> Commands:
    """What instructions can command."""
    found = Commands({_key(sentence.removesuffix(".")): {} for sentence in KEEP_POSE}, {}, {})
    for fact in _change_facts():
        for phrase in INSTRUCTIONS[fact.relation]:
            for verb in (phrase.verb, phrase.gerund):
                if phrase.names:
                    _add_words(found.named.setdefault(verb, {}), phrase.rest.removeprefix(" {s}"), fact)
                else:
                    _add_words(found.whole, verb + phrase.rest, fact)
        for direction in DIRECTIONS[fact.relation]:
            _add_words(found.continuations, direction, fact)
    return found


def _add_words(table, words, fact):
    for determiner in DETERMINERS:
        _add(table.setdefault(_key(words.format(d=determiner)), {}), fact.subject, fact)


@functools.cache
def longest_run() -> int:
    """The number of tokens of the longest words looked up at once."""
    tables = *caption_states(), *goal_states(), *commands()
    return max(len(words.split()) for table in tables for words in table)


def _change_facts():
    """Every fact about a change: alone, or merged with another in the same direction, possibly smaller."""
    facts = [fact for row in _CHANGE_FACTS for fact in _with_sizes(row) if fact.relation in INSTRUCTIONS]
    turns = [relation for relation in INSTRUCTIONS if relation[0] == "turn"]
    return every_join(facts) + [Fact(((TURN_CODE, turn[1]),), turn, ("", "body"), None) for turn in turns]


def _with_sizes(row):
    """The facts of one code, with sizes that grow with the distance from the neutral category."""
    middle = (len(row) - 1) / 2
    return [fact._replace(size=abs(k - middle)) for k, fact in enumerate(row) if fact]
