# SPDX-License-Identifier: Apache-2.0
"""From the facts of one pose (or one change of pose) to what is said: skipping, pruning, merging, grouping.

The steps of PoseScript (Delmas et al., 2022/2024) and PoseFix (2023), each a function from a list of facts to another
list. ``random`` is a function without arguments that gives a float in [0, 1).
"""

import itertools

from unipose_hf.captions.posecodes.facts import OPPOSITES, Fact
from unipose_hf.captions.posecodes.operators import PAIR_OPERATORS

from .pruning_rules import PRUNING_RULES

SKIP_RATE = 0.15
RATE = 0.95  # how often facts that could be joined are joined

_LIMBS = {
    ("wrist", "elbow"): "arm",
    ("hand", "elbow"): "arm",
    ("forearm", "upperarm"): "arm",
    ("ankle", "knee"): "leg",
    ("foot", "knee"): "leg",
    ("shin", "thigh"): "leg",
}
_LIMBS |= {(second, first): limb for (first, second), limb in _LIMBS.items()}


def _directions():
    """(kind, category) of a change -> (kind, -1 or 1): "slightly higher" and "higher" go the same way."""
    directions = {}
    for kind, operator in PAIR_OPERATORS.items():
        silent = operator.categories.index("-")
        for k, category in enumerate(operator.categories):
            directions[kind, category] = (kind, 1 if k > silent else -1)
    return directions


_DIRECTIONS = _directions()


def shuffled(items, random):
    """The items in a random order."""
    return sorted(items, key=lambda _: random())


def skip_some(facts, eligibility, random):
    """Leave out each fact of eligibility 1 with probability 0.15; where nothing would remain, leave out nothing."""
    kept = [fact for fact, level in zip(facts, eligibility, strict=True) if level > 1 or random() >= SKIP_RATE]
    return kept or list(facts)


def prune_transitive(facts):
    """Of a above b, b above c and a above c the last goes without saying."""
    edges = [_upwards(fact) for fact in facts]
    above = {}
    for edge in edges:
        if edge:
            kind, low, high = edge
            above.setdefault((kind, low), set()).add(high)
    if len(above) < 2:
        return facts
    return [fact for fact, edge in zip(facts, edges, strict=True) if not (edge and _has_detour(above, *edge))]


def _upwards(fact):
    """(axis, lower end, higher end) of a fact about an order along an axis, else None."""
    if fact.object is None or fact.relation[-1] not in OPPOSITES:
        return None
    ends = fact.subject, fact.object
    return (fact.relation[0], *(ends if fact.relation[1] in ("at right", "below", "behind") else ends[::-1]))


def _has_detour(above, kind, low, high):
    return any(high in above.get((kind, middle), ()) for middle in above[kind, low])


def prune_statistically(facts, present):
    """Leave out what most people would take for granted given what else was there to say (`PRUNING_RULES`).

    Args:
        facts: what is left to say; a fact that has been joined with another one is never left out.
        present: set of (code name, category): everything there was to say before any pruning or merging.
    """
    return [fact for fact in facts if len(fact.codes) > 1 or not _follows(fact.codes[0], present)]


def _follows(code, present):
    return any(present.issuperset(reasons) for reasons in PRUNING_RULES.get(code, ()))


def merge_entities(facts, random, *, same_direction=False):
    """Join facts that say the same of two parts of one limb: forearm and upper arm into the arm.

    With ``same_direction`` facts about changes need only go the same way; the larger change is the one that is said.
    """
    return _merge(facts, _direction_key if same_direction else _limb_key, _join_limbs, random)


def _limb_key(fact):
    return fact.relation, fact.subject[0], fact.object and fact.object[0]


def _direction_key(fact):
    return _DIRECTIONS.get(fact.relation, fact.relation), *_limb_key(fact)[1:]


def merge_twins(facts, random, *, compat=False):
    """Join facts that say the same of the left and of the right part.

    Facts are joined on one end at a time, so that the joined one says what the two said: with objects the sides are
    equal ("both"), the subject's own ("own") or the other one ("opposite"). ``compat`` joins as the published system
    does, whatever the sides, which can say too much (left hand at both knees -> both hands at both knees).
    """
    for join in (_join_regardless_of_sides,) if compat else (_join_objects, _join_subjects):
        facts = _merge(facts, _twin_key, join, random)
    return facts


def _twin_key(fact):
    return fact.relation, fact.subject[1], fact.object and fact.object[1]


def _merge(facts, key, join, random):
    """Join each fact to the first earlier one under the same key that it goes with."""
    merged, indices = [], {}
    for fact in facts:
        earlier = indices.setdefault(key(fact), [])
        for index in earlier:
            joined = join(merged[index], fact)
            if joined and random() < RATE:
                merged[index] = joined
                break
        else:
            earlier.append(len(merged))
            merged.append(fact)
    return merged


def _join(first, second, subject, object):
    larger = second if second.size > first.size else first
    return Fact(first.codes + second.codes, larger.relation, subject, object, larger.size)


def _join_limbs(first, second):
    subject, object = _limb(first.subject, second.subject), _limb(first.object, second.object)
    if subject is None or (object is None and first.object != second.object):
        return None
    return _join(first, second, subject, object)


def _limb(first, second):
    if first == second:
        return first
    if first is None or second is None:
        return None
    limb = _LIMBS.get((first[1], second[1]))
    return limb and (first[0], limb)


def _opposed(first, second):
    return {first[0], second[0]} == {"left", "right"}


def _join_objects(first, second):
    """Left hand at left knee, left hand at right knee: left hand at both knees."""
    if first.object is None or first.subject != second.subject or not _opposed(first.object, second.object):
        return None
    return _join(first, second, first.subject, ("both", first.object[1]))


def _join_subjects(first, second):
    """Left hand, right hand: both hands; at one object, at the one of their own side or at that of the other side."""
    if not _opposed(first.subject, second.subject):
        return None
    subject, object = ("both", first.subject[1]), first.object
    if object != second.object:
        if object[1] == subject[1] or not _opposed(object, second.object):
            return None
        object = ("own" if object[0] == first.subject[0] else "opposite", object[1])
    return _join(first, second, subject, object)


def _join_regardless_of_sides(first, second):
    object = first.object
    if object is not None and object[0] != second.object[0]:
        object = ("both", object[1])
    return _join(first, second, ("both", first.subject[1]), object)


def every_join(facts):
    """The facts and what `merge_entities` (of one direction) and `merge_twins` can make of any that go together."""
    facts = list(facts)
    for key, join in ((_direction_key, _join_limbs), (_twin_key, _join_objects), (_twin_key, _join_subjects)):
        alike = {}
        for fact in facts:
            alike.setdefault(key(fact), []).append(fact)
        pairs = itertools.chain.from_iterable(itertools.combinations(members, 2) for members in alike.values())
        facts += [joined for pair in pairs if _are_compatible(*pair) and (joined := join(*pair))]
    return facts


def _are_compatible(first, second):
    """One code is in one category at a time."""
    return {name for name, _ in first.codes}.isdisjoint(name for name, _ in second.codes)


def swap_sides(facts, random):
    """Say what opposes left and right of one part from either end, or, where it is a distance, of the two at once."""
    return [_swap(fact, random) if _opposes_twins(fact) else fact for fact in facts]


def _opposes_twins(fact):
    return fact.object is not None and fact.object[1] == fact.subject[1] and _opposed(fact.subject, fact.object)


def _swap(fact, random):
    subject, object, relation = fact.subject, fact.object, fact.relation
    if random() < 0.5:
        subject, object = object, subject
        relation = (*relation[:-1], OPPOSITES.get(relation[-1], relation[-1]))
    if is_mutual(relation) and random() < 0.5:
        subject, object = ("both", subject[1]), None
    return fact._replace(relation=relation, subject=subject, object=object)


def is_mutual(relation):
    """Whether the relation holds either way round: the hands are close to each other."""
    return relation[0] in ("distance", "pair_distance") or relation[0].endswith("_each_other")


def group_facts(facts, random, *, leave_out=()):
    """Group facts that share what they say (relation and object) or whom they say it of (subject).

    Facts whose kind (``relation[0]``) is in ``leave_out`` stay alone and come first, then the groups, then the rest.

    Returns:
        list of lists of facts; a list of one is a fact alone.
    """
    alone = [[fact] for fact in facts if fact.relation[0] in leave_out]
    rest = [fact for fact in facts if fact.relation[0] not in leave_out] if leave_out else facts
    candidates = {}
    for i, fact in enumerate(rest):
        candidates.setdefault((fact.relation, fact.object), []).append(i)
        candidates.setdefault(fact.subject, []).append(i)
    free = set(range(len(rest)))
    groups = []
    for members in shuffled([members for members in candidates.values() if len(members) > 1], random):
        members = [i for i in members if i in free]
        if len(members) > 1:
            free.difference_update(members)
            groups.append(members)
    formed = []
    for members in groups:
        if random() < RATE:
            formed.append([rest[i] for i in shuffled(members, random)])
        else:
            free.update(members)
    return alone + formed + [[rest[i]] for i in sorted(free)]
