# SPDX-License-Identifier: Apache-2.0
"""Instruction templates: enough of them, no duplicates, each placeholder once, deterministic choice."""

import collections
import re

import numpy as np
import pytest

from unipose_hf.data.instructions import (
    REASONING_TASKS,
    REASONING_TEMPLATES,
    TEMPLATES,
    choose_template,
    draw,
    fill_template,
    placeholders_of,
    pretraining_template,
    templates,
)
from unipose_hf.modeling.processing_unipose import TASKS, task_messages

KINDS = [(task, False) for task in TASKS] + [(task, True) for task in REASONING_TASKS]
BY_KIND = pytest.mark.parametrize(("task", "reasoning"), KINDS)


def faults(lines, places):
    """What is wrong with the lines of a file of templates."""
    found = []
    words = [re.sub(r"[\W_]+", " ", re.sub(r"\{\w+\}", "", line)).strip().lower() for line in lines]
    for line in lines:
        if sorted(re.findall(r"\{(\w*)\}", line)) != sorted(places) or line.count("{") != len(places):
            found.append(f"places: {line}")
        if line != line.strip() or "  " in line or re.search(r"<\w+>|\s[.,?!]", line):
            found.append(f"spacing: {line}")
        # a text is one or more full sentences: it may follow a full stop or a colon, but not be part of a clause
        if not re.search(r'(^|[.:?!] |(?<= )"|(?<=\} )|^")\{text\}("$|$|"? (?=[A-Z"]))', line) and "text" in places:
            found.append(f"text inside a sentence: {line}")
        if not re.match(r'["{A-Z]', line):
            found.append(f"small letter: {line}")
    # templates that differ only in commas count as the same
    found += [f"twice: {plain}" for plain, count in collections.Counter(words).items() if count > 1 and plain]
    return found


@BY_KIND
def test_templates_are_many_and_sound(task, reasoning):
    lines = templates(task, reasoning=reasoning)
    assert len(lines) == len(set(lines)) == (REASONING_TEMPLATES if reasoning else TEMPLATES)
    assert faults(lines, placeholders_of(task, reasoning=reasoning)) == []


@pytest.mark.parametrize(
    "line",
    ["Describe {image} twice: {image}", "Describe this.", "Describe <image> and {image}.", "describe {image}."],
)
def test_faults_are_found(line):
    assert faults([line], ["image"])


def test_duplicates_and_embedded_texts_are_found():
    assert faults(["Show {pose} now.", "{pose} Show now"], ["pose"])
    assert faults(["Make {text} a pose."], ["text"])


@BY_KIND
def test_wordings_differ(task, reasoning):
    """No frame is worn out: few templates begin with the same three words."""
    begins = collections.Counter(
        tuple(re.sub(r"\{\w+\}", "", line).lower().split()[:3]) for line in templates(task, reasoning=reasoning)
    )
    assert begins.most_common(1)[0][1] <= 6


@pytest.mark.parametrize("task", TASKS)
def test_pretraining_asks_as_pipelines_do(task):
    rule = TASKS[task]
    images, poses = ["a", "b"][: rule.images], [np.zeros((22, 3)), np.ones((22, 3))][: rule.poses]
    text = "Raise the arm." if rule.text else None
    [user] = task_messages(task, text=text, images=images, poses=poses)
    assert fill_template(pretraining_template(task), text=text, images=images, poses=poses) == user["content"]


def test_choice_depends_on_seed_and_sample_alone():
    chosen = [choose_template("pose-diff", str(i), seed=3) for i in range(2000)]
    assert chosen == [choose_template("pose-diff", str(i), seed=3) for i in range(2000)]
    assert chosen != [choose_template("pose-diff", str(i), seed=4) for i in range(2000)]
    counts = collections.Counter(chosen)
    assert len(counts) > 190 and max(counts.values()) < 40  # uniform: 10 of each
    # fixed values, so that other processes and releases choose the same
    assert draw(1000, "template", "7", 3) == 148


def test_filled_in_the_order_of_the_template():
    boxed = {"image": "second", "box": (1, 2, 3, 4)}
    parts = fill_template("To {image_b} from {image_a}, how?", images=["first", boxed])
    assert parts == [
        {"type": "text", "text": "To "},
        {"type": "image", **boxed},
        {"type": "text", "text": " from "},
        {"type": "image", "image": "first"},
        {"type": "text", "text": ", how?"},
    ]
    assert fill_template("Do: {text}", text="Sit {pose}.") == [{"type": "text", "text": "Do: Sit {pose}."}]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="has the placeholders image"):
        fill_template("Look at {image}.")
    with pytest.raises(ValueError, match="given text"):
        fill_template("Look.", text="Sit.")
    with pytest.raises(ValueError, match="no templates for 'dance'"):
        templates("dance")
    with pytest.raises(ValueError, match="no reasoning templates for 'pose-diff'"):
        templates("pose-diff", reasoning=True)
