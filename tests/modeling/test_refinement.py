# SPDX-License-Identifier: Apache-2.0
"""Refined texts: answers are validated, and server faults never lose an answer already received."""

import threading
import time

import pytest

from language_server import Server
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.captions.flip import flip_text
from unipose_hf.data.llm.language_models import Endpoint, LocalModel
from unipose_hf.data.llm.refinement import Request, find_fault, refine_texts, refinement_prompt
from unipose_hf.data.llm.side_claims import swapped_sides
from unipose_hf.data.open_poses import load_open_poses

CODES = (
    ("angle/left_hip|left_knee|left_ankle", "right angle"),
    ("angle/right_hip|right_knee|right_ankle", "straight"),
    ("rel_y/left_hand|right_hand", "above"),
    ("body_lean/body", "slightly left"),
)
CAPTION = Request("caption", ("The left knee is bent.", "Their left hand is above the right one."), CODES)
GOOD = "The person stands on the straight right leg with the left knee bent and raises the left hand."
SWAPPED = "The person stands on the straight left leg with the right knee bent and raises the right hand."
TURN_CODES = (("turn/body", "a quarter left"), ("pair_y/left_hand", "higher"), ("pair_z/right_foot", "more back"))
INSTRUCTION = Request("instruction", ("Turn left. Raise the left hand. Move the right foot back.",), TURN_CODES)


# -- the rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (GOOD, None),
        ("Someone leans to the left, the left hand higher than the right hand.", None),
        ("A young man holds the left hand above the right hand at an arm's length.", None),
        ("", "empty"),
        ("The person " + "really " * 41 + "stands.", None),
        ("The person " + "really " * 42 + "stands.", "45 words, and 44"),
        ("- The person stands.\n- The left knee is bent.", "list"),
        ("The person: 1. stands 2. waits", "list"),
        ("Here is the description: the person stands.", "comment"),
        ("Standing upright, the left knee is bent.", "begin with the person"),
        ("The person kneels on one knee.", "left or the right"),
        ("The person raises an extended arm.", "left or the right"),
        ("This person puts one of their hands on the floor.", "left or the right"),
        (SWAPPED, "check left and right"),
        ("The person leans to the right.", "check left and right"),
        ("The person holds the right hand above the left hand.", "check left and right"),
    ],
)
def test_rules_of_captions(answer, fault):
    found = find_fault(answer, CAPTION)
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Turn to your left, lift your left hand and step back with your right foot.", None),
        ("Lift your left hand and step back with your right foot.", "whole body turns to the left"),
        ("Turn right, lift your left hand and step back with your right foot.", "check left and right"),
        ("Turn to the left and lift your right hand.", "check left and right"),
        ("Turn to the left and lower your left hand.", "check left and right"),
        ("Turn left " + "now " * 44, "46 words, and 45"),
    ],
)
def test_rules_of_instructions(answer, fault):
    found = find_fault(answer, INSTRUCTION)
    assert found is None if fault is None else fault in found


def test_true_texts_pass_and_most_mirrored_ones_do_not():
    """The engine's own words are never taken for swapped; with left and right exchanged most are caught."""
    poses = load_open_poses("test").axis_angle[::9]
    written = [caption_poses(poses, return_codes=True, max_clauses=8)]
    written.append(instruct_pairs(poses, poses.roll(7, 0), return_codes=True, max_clauses=8))
    for texts, codes in written:
        assert [text for text, said in zip(texts, codes, strict=True) if swapped_sides(text, said)] == []
        flipped = [(flip_text(text), said) for text, said in zip(texts, codes, strict=True)]
        sided = [(text, said) for text, said in flipped if text and ("left" in text or "right" in text)]
        caught = sum(swapped_sides(text, said) is not None for text, said in sided)
        assert len(sided) > 30 and caught > 0.6 * len(sided)


def test_prompt_carries_the_texts_and_the_requirements():
    system, user = (message["content"] for message in refinement_prompt(CAPTION))
    assert all(text in user for text in CAPTION.texts)
    for required in ("fewer than 45 words", "begins with the person", "one leg", "left or right"):
        assert required in user
    instruction = refinement_prompt(INSTRUCTION)[1]["content"]
    assert "45 words at the most" in instruction and "turn of the whole body" in instruction
    assert "{" not in system + user + instruction


# -- a real server --------------------------------------------------------------------------------------------------


@pytest.fixture
def serve():
    servers = []

    def start(*script):
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def refine(server, requests, journal, timeout=30.0, **options):
    ask = Endpoint(server.url, "writer", token="secret", timeout=timeout)
    return refine_texts(requests, ask, journal, pause=0.01, progress=False, **options)


def test_errors_and_silence_are_outlasted(serve, tmp_path):
    server = serve(429, 500, "stall", "hang up", {"unexpected": 1}, f'"{GOOD}"')
    assert refine(server, [CAPTION], tmp_path / "j.jsonl", timeout=1.0, patience=20) == [GOOD]
    path, headers, body = server.calls[-1]
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer secret" and len(server.calls) >= 6
    assert body["model"] == "writer" and body["messages"] == refinement_prompt(CAPTION)


def test_lies_are_sent_back_with_the_reason_a_few_times(serve, tmp_path):
    server = serve(SWAPPED, "1. Stand\n2. Wait", GOOD)
    assert refine(server, [CAPTION], tmp_path / "a.jsonl") == [GOOD]
    chat = server.calls[-1][2]["messages"]
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert (
        chat[2]["content"] == SWAPPED and "check left and right" in chat[3]["content"] and "list" in chat[5]["content"]
    )
    liar = serve(SWAPPED)
    assert refine(liar, [CAPTION], tmp_path / "b.jsonl", attempts=2) == [None]
    assert len(liar.calls) == 2


def test_a_killed_run_goes_on_without_asking_twice(serve, tmp_path):
    requests = [CAPTION._replace(texts=(f"Text {number}.",)) for number in range(6)]
    journal = tmp_path / "deep" / "j.jsonl"
    broken = serve(GOOD, SWAPPED, GOOD, 401)
    with pytest.raises(ValueError, match="refuses requests for 'writer' .status 401"):
        refine(broken, requests, journal, concurrency=1)
    assert len(journal.read_text().splitlines()) == 3
    with journal.open("a") as file:  # killed while writing
        file.write('{"key": "1", "ans')
    server = serve(GOOD)
    assert refine(server, requests, journal, concurrency=1) == [GOOD] * 6
    # the first text was done, the second invalid and then repaired; four were still missing
    assert len(server.calls) == 4
    assert refine(server, requests, journal) == [GOOD] * 6 and len(server.calls) == 4
    again = Endpoint(server.url, "another writer")
    assert refine_texts(requests[:1], again, journal, progress=False) == [GOOD] and len(server.calls) == 5


def test_order_is_kept_and_few_are_asked_at_once(serve, tmp_path):
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def answer(body):
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        number = int(body["messages"][1]["content"].split("Text ")[1].split(".")[0])
        time.sleep(0.01 * (number % 3))
        with lock:
            state["now"] -= 1
        return f"The person waits {'very ' * number}long."

    asked = []

    def requests():
        for number in range(20):
            asked.append(number)
            yield CAPTION._replace(texts=(f"Text {number}.",))

    server = serve(answer)
    refined = refine(server, requests(), tmp_path / "j.jsonl", concurrency=3)
    assert [text.count("very") for text in refined] == list(range(20))
    assert 2 <= state["most"] <= 3


def test_an_absent_server_ends_the_run_in_a_sentence(serve, tmp_path):
    server = serve(503)
    with pytest.raises(ConnectionError, match="did not answer 3 times in a row .the last time: status 503"):
        refine(server, [CAPTION] * 3, tmp_path / "j.jsonl", patience=3)


def test_damaged_journal_is_named(serve, tmp_path):
    (tmp_path / "j.jsonl").write_text("nonsense\n")
    with pytest.raises(ValueError, match="Line 1 of .*j.jsonl"):
        refine(serve(GOOD), [CAPTION], tmp_path / "j.jsonl")


def test_a_local_model_answers(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1, "person": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="</s>", unk_token="[UNK]")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=3)
    LlamaForCausalLM(LlamaConfig(**sizes, eos_token_id=1, pad_token_id=1)).save_pretrained(tmp_path)
    model = LocalModel(str(tmp_path), max_new_tokens=4)
    assert isinstance(model([{"role": "user", "content": "person"}]), str)
    assert refine_texts([CAPTION], model, tmp_path / "j.jsonl", progress=False) == [None]
