# SPDX-License-Identifier: Apache-2.0
"""Facts to sentences: the voice of one caption, clauses, and how clauses join."""

from typing import NamedTuple

from .wording import ANGLE_SUBJECTS, DETERMINERS, OPPOSITES, PERSONS, PLURAL_VERBS, PREDICATES, part_words

_REGIONS = (("body", "torso"), ("head",), ("shoulder", "upperarm", "elbow", "forearm", "hand", "arm"))
_REGION_OF = {part: region for region, parts in enumerate(_REGIONS) for part in parts}
_JOINERS = (". ", ". ", ", and ", ", while ", ", with ")


class Voice(NamedTuple):
    """What one caption keeps to from its first word to its last."""

    determiner: str  # the, their, his, her
    person: tuple[str, bool]  # words for the whole person; whether they take a plural verb
    limb_names: dict[str, str]  # a bent knee may be a bent leg
    person_looks: bool  # "the person looks up" rather than "the head is tilted back"
    short_twins: bool  # "the left one" rather than "the left hand"


def pick(random, choices):
    return choices[int(random() * len(choices))]


def join_list(words):
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def capitalise(words):
    return words[0].upper() + words[1:]


def order_by_region(facts, random):
    """Facts of one region of the body side by side, regions in a random order, the whole body rather early."""
    rank = [random() - 0.5, random(), random(), random()]
    return sorted(facts, key=lambda fact: rank[_REGION_OF.get(fact.subject[1], 3)])


def describe_facts(facts, random):
    """The facts as sentences ("" for no facts)."""
    determiner = pick(random, DETERMINERS)
    limb_names = {part: pick(random, names) for part, names in ANGLE_SUBJECTS.items()}
    voice = Voice(determiner, pick(random, PERSONS[determiner]), limb_names, random() < 0.4, random() < 0.5)
    clauses = {}  # (subject words, plural) -> [(predicate, object words)]
    for fact in order_by_region(facts, random):
        subject, *predicate = _clause(fact, voice, random)
        clauses.setdefault(subject, []).append(predicate)
    text, can_join = "", False
    for (subject, plural), predicates in clauses.items():
        for start in range(0, len(predicates), 3):  # no more than three things of one subject in a breath
            group = predicates[start : start + 3]
            joiner = pick(random, _JOINERS) if can_join and len(group) == 1 else ". "
            verbless = joiner == ", with " and group[0][0].startswith("is ") and subject not in ("he", "she", "they")
            if joiner == ", with " and not verbless:
                joiner = ", and "
            said = _predicates(group, plural, verbless)
            if joiner == ". ":
                text += f"{'. ' if text else ''}{capitalise(subject)} {said}"
            else:
                text += f"{joiner}{subject} {said}"
            # two clauses make a sentence; a list of predicates is one of its own
            can_join = joiner == ". " and len(group) == 1
    return text + "." if text else ""


def _predicates(group, plural, verbless):
    words, last_verb, last_object = [], None, None
    for predicate, object_words in group:
        verb, rest = predicate.split(" ", 1)
        verb = "is" if verb == "are" else verb
        if object_words and object_words == last_object:
            rest = rest.replace("{o}", "them" if object_words[-1] == "s" else "it")
        else:
            rest = rest.replace("{o}", object_words or "")
        # "is bent and close to ...": the first verb serves for the others
        if not ((verb == "is" == last_verb) or (verbless and not words)):
            rest = f"{PLURAL_VERBS[verb] if plural else verb} {rest}"
        words.append(rest)
        last_verb, last_object = verb, object_words
    return join_list(words)


def _clause(fact, voice, random):
    """(subject words, plural verb), predicate with ``{o}`` open, object words."""
    relation, (side, part), object = fact.relation, fact.subject, fact.object
    determiner = voice.determiner
    if part == "head" and voice.person_looks:
        part, relation = "body", (*relation, "person")
    if part == "body":
        possessive = "their" if determiner == "the" else determiner  # a person has their head turned
        predicate = pick(random, PREDICATES[relation]).replace("{d}", possessive)
        return voice.person, predicate, object and _name(determiner, *object)
    if relation[0] == "angle":
        part = voice.limb_names.get(part, part)
    twins = object is not None and object[1] == part and object[0] and side in ("left", "right")
    if twins and random() < 0.5:
        (side, part), object = object, (side, part)
        relation = (relation[0], OPPOSITES[relation[1]], *relation[2:])
    predicate = pick(random, PREDICATES[relation]).replace("{d}", determiner)
    if side == "both" and object is not None and object[0] == "opposite":
        return (f"each {part_words(part)}", False), predicate, f"the opposite {part_words(object[1])}"
    object_words = object and _name(determiner, *object)
    if side == "both":
        return (f"{pick(random, ('both', determiner))} {part_words(part, plural=True)}", True), predicate, object_words
    if twins and voice.short_twins:
        object_words = f"the {object[0]} one"
    return (_name(determiner, side, part), False), predicate, object_words


def _name(determiner, side, part):
    if side == "both":
        return f"{determiner} {part_words(part, plural=True)}"
    return f"{determiner} {side} {part_words(part)}" if side else f"{determiner} {part_words(part)}"
