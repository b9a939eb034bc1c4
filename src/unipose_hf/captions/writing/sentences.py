# SPDX-License-Identifier: Apache-2.0
"""Words groups of facts as sentences: the voice of a caption, clauses, and connectors (PoseScript, section 3)."""

from typing import NamedTuple

from .aggregate import is_mutual
from .wording import ANGLE_SUBJECTS, DETERMINERS, GERUNDS, PERSONS, PLURAL_VERBS, Person, part_words, phrases_of

SEVERAL = ("both", "own", "opposite")  # sides of a plural object

_CONNECTORS = ("stop", "and", "while", "with", "comma")
_MAX_CLAUSES = 3  # in one sentence
_MAX_PREDICATES = 3  # of one subject in one sentence

# kind, part of the subject, part of the object: the object adds nothing to "the hand is out in front"
_OBVIOUS = {
    ("rel_z", "hand", "torso"),
    ("rel_z", "foot", "torso"),
    ("rel_x", "hand", "shoulder"),
    ("rel_x", "foot", "hip"),
    ("rel_y", "hand", "neck"),
}


class Voice(NamedTuple):
    """Choices that stay the same throughout a caption."""

    determiner: str  # the, their, his, her
    person: Person
    noun: str  # for the person, at the start of the caption
    limb_names: dict[str, str]  # a bent knee may be a bent leg
    person_looks: bool  # "the person looks up" rather than "the head is tilted back"
    simplify: bool  # no "the other", no object left out


class Clause(NamedTuple):
    """A subject and its predicates: phrases (see `wording`), each with its object and the object's words."""

    subject: str | None  # None for the person
    plural: bool
    pronoun: str | None  # for the subject in the next sentence; None if ambiguous
    predicates: list[tuple[str, tuple[str, str] | None, str | None]]


def pick(random, choices):
    return choices[int(random() * len(choices))]


def pick_name(random, names):
    """One of the names, random if there are several."""
    return names[0] if len(names) == 1 else pick(random, names)


def join_list(words):
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def capitalise(words):
    return words[0].upper() + words[1:]


def describe_groups(groups, random, *, simplify=False):
    """Groups of facts (`group_facts`), in their order, as sentences ("" for no groups)."""
    voice = _draw_voice(random, simplify)
    text = _Text(voice, random)
    for group in groups:
        text.add(_clause(group, voice, random))
    return " ".join(f"{sentence}." for sentence in text.sentences)


def _draw_voice(random, simplify):
    determiner = pick(random, DETERMINERS)
    person = PERSONS[determiner]
    limb_names = {part: pick(random, names) for part, names in ANGLE_SUBJECTS.items()}
    return Voice(determiner, person, pick(random, person.nouns), limb_names, random() < 0.4, simplify)


class _Text:
    """The sentences so far; the last one is open, and a clause may join it."""

    def __init__(self, voice, random):
        self.voice, self.random = voice, random
        self.sentences = []
        self.used = []  # connectors in the open sentence
        self.verbless = False  # whether it ends in "with the left knee bent", which an "and" continues
        self.names_person = False
        self.last = None  # clause

    def add(self, clause):
        first, *more = _breaths(clause, self.random)
        repeated = self.last is not None and clause.subject == self.last.subject
        # "it" refers to the subject of the previous sentence, which may be split into several
        again = repeated and (len(self.used) == 1 or clause.subject is None)
        connector = "stop" if more or repeated else self._connector(clause)
        self._say(connector, clause, again, first)
        for breath in more:
            self._say("stop", clause, True, breath)
        self.last = clause

    def _connector(self, clause):
        """One of five, uniformly; a full stop instead of a repeated connector or in a long sentence."""
        connector = pick(self.random, _CONNECTORS)
        if self.last is None or connector in self.used or len(self.used) == _MAX_CLAUSES:
            return "stop"
        if clause.subject is None and (connector in ("with", "comma") or self.verbless):
            return "stop"  # the person keeps the verb
        if connector == "and" and self.verbless and len(self.last.predicates) > 1:
            return "stop"  # this "and" would seem to continue the predicates before it
        return connector

    def _say(self, connector, clause, again, predicates):
        is_open = connector != "stop"
        if not is_open:
            self.used, self.names_person = [], False
        self.used.append(connector)
        self.verbless = connector in ("with", "comma") or (connector == "and" and self.verbless)
        name = self._name(clause, again)
        plural = clause.plural or name == "they"
        sentence = f"{name} {_predicate(predicates, plural, self.verbless, self.random)}"
        if is_open:
            self.sentences[-1] += _joint(connector, self.verbless) + sentence
        else:
            self.sentences.append(capitalise(sentence))

    def _name(self, clause, again):
        if clause.subject is not None:
            return clause.pronoun if again and clause.pronoun else clause.subject
        person = self.voice.person
        name = person.again if again or self.names_person else person.pronoun if self.sentences else self.voice.noun
        self.names_person = True
        return name


def _joint(connector, verbless):
    if connector == "comma":
        return ", "
    return f" {connector} " if connector == "while" or (connector == "and" and verbless) else f", {connector} "


def _breaths(clause, random):
    """Splits the predicates into sentences: sometimes, and always if there are many."""
    breaths = [clause.predicates[:1]]
    for predicate in clause.predicates[1:]:
        full = len(breaths[-1]) == _MAX_PREDICATES
        if clause.pronoun and (full or random() < 0.25):
            breaths.append([])
        breaths[-1].append(predicate)
    return breaths


def _predicate(predicates, plural, verbless, random):
    """a, b and c, usually with a single "is" if all have one."""
    repeat = random() < 0.25 or any(not phrase.startswith("is ") for phrase, _, _ in predicates)
    words, last_verb, last_object = [], None, None
    for phrase, object, object_words in predicates:
        verb, rest = phrase.split(" ", 1)
        if object:
            again = "them" if object[0] in SEVERAL else "it"
            rest = rest.replace("{o}", again if object == last_object else object_words)
        if verbless:
            words.append(rest if verb == "is" else f"{GERUNDS[verb]} {rest}")
        elif verb == "is" == last_verb and not repeat:
            words.append(rest)
        else:
            words.append(f"{PLURAL_VERBS[verb] if plural else verb} {rest}")
        last_verb, last_object = verb, object
    return join_list(words)


def _clause(group, voice, random):
    fact = group[0]
    side, part = fact.subject
    if part == "body" or (part == "head" and voice.person_looks):
        phrase_subject = "body" if part == "body" else "person"
        subject, plural, pronoun = None, False, "they"
    elif any(other.subject != fact.subject for other in group):
        return _clause_of_several(group, voice, random)
    else:
        of_angles = all(other.relation[0] == "angle" for other in group)
        phrase_subject, subject, plural = part, _subject(fact.subject, of_angles, voice, random), side == "both"
        # "it" for a head would seem to mean the whole person
        pronoun = "they" if plural else None if part == "head" else "it"
    predicates = [_phrase(other, phrase_subject, group, voice, random) for other in group]
    return Clause(subject, plural, pronoun, predicates)


def _clause_of_several(group, voice, random):
    """Several subjects with one predicate."""
    fact = group[0]
    subjects = [_subject(other.subject, fact.relation[0] == "angle", voice, random) for other in group]
    object = None if not voice.simplify and all(_is_obvious(other) for other in group) else fact.object
    phrases = phrases_of(fact.relation, None, object)
    if object is None and is_mutual(fact.relation):
        # hands and feet: each pair is close together, and not the hands to the feet
        phrases = [phrase.replace("is ", "is each ", 1) for phrase in phrases if "each other" not in phrase]
    predicate = pick(random, phrases), object, object and object_name(object, voice.determiner)
    return Clause(join_list(subjects), True, "they", [predicate])


def _is_obvious(fact):
    return fact.object is not None and (fact.relation[0], fact.subject[1], fact.object[1]) in _OBVIOUS


def _phrase(fact, part, group, voice, random):
    """The wording of one fact of a group about ``part``: the phrase, its object and the object's words."""
    object = fact.object
    # "in front of the other hand" goes on better with "and of the torso" than with "and out in front"
    if not voice.simplify and _is_obvious(fact) and sum(other.relation == fact.relation for other in group) == 1:
        object = None
    phrase = pick(random, phrases_of(fact.relation, part, object)).replace("{d}", voice.person.possessive)
    if object is None:
        return phrase, None, None
    words = object_name(object, voice.determiner)
    if object[1] == part and object[0] and not voice.simplify:
        words = pick(random, (words, *other_names(object)))
    return phrase, object, words


def _subject(end, of_angle, voice, random):
    side, part = end
    names = subject_names((side, voice.limb_names[part] if of_angle else part), voice.determiner)
    return pick_name(random, names)


def subject_names(end, determiner):
    """The names of a subject."""
    side, part = end
    if side == "both":
        return tuple(f"{several} {part_words(part, plural=True)}" for several in ("both", determiner))
    return (_name(determiner, side, part),)


def object_name(end, determiner):
    """The full name of an object."""
    side, part = end
    if side in SEVERAL:
        determiner = {"both": "both", "own": determiner, "opposite": "the opposite"}[side]
        return f"{determiner} {part_words(part, plural=True)}"
    return _name(determiner, side, part)


def other_names(end):
    """The short names of an object that is the same part as the subject."""
    side, part = end
    return f"the other {part_words(part)}", f"the {side} one"


def _name(*words):
    *before, part = words
    return " ".join(filter(None, (*before, part_words(part))))
