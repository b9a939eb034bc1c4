# SPDX-License-Identifier: Apache-2.0
"""Model cards are correct: their code runs, their figures match the measurements, and the demo page works."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from hub_metadata import check_dataset_card, check_model_card
from tiny import CODE_OFFSET, POSE, POSE_END, POSE_START, random_rotations, tiny_model
from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.cli.demo import PHOTO

ROOT = Path(__file__).parents[2]
CARDS = {name: ROOT / "hub_cards" / name for name in ("unipose-7b/README.md", "pose-tokenizer.md", "space/README.md")}
SNIPPETS = [
    pytest.param(snippet, id=f"{name}-{number}")
    for name, card in CARDS.items()
    for number, snippet in enumerate(re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), re.S))
]


@pytest.fixture
def fill(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "hub_cards"))
    import fill

    return fill


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet, tmp_path, monkeypatch):
    """With the bundled model in the place of the 7B one."""
    if "device_map" in snippet:
        pytest.importorskip("accelerate", reason="device maps need accelerate")
    if "BitsAndBytesConfig" in snippet:
        pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    (tmp_path / "unipose-7b").symlink_to(BUNDLED_CHECKPOINT, target_is_directory=True)
    (tmp_path / "photo.jpg").symlink_to(PHOTO)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(snippet, "card", "exec"), names)
    assert names


@pytest.mark.parametrize("name", CARDS)
def test_cards_have_the_sections_and_four_lines_of_licences(name):
    text = CARDS[name].read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.S | re.M))
    wanted = {"Use", "Limits", "Licences"} | (set() if "space" in name else {"Training", "Evaluation", "What it is"})
    assert wanted <= set(sections)
    licences = re.findall(r"^\* (\w+):", sections["Licences"], re.M)
    assert licences == ["Code", "Weights", "Data", "Body"]
    assert text.startswith("---\n") and "{{" not in text


def test_cards_hold_what_is_measured(fill):
    for (card, mark), measure in fill.MEASURED.items():
        text = (ROOT / "hub_cards" / card).read_text(encoding="utf-8")
        [found] = re.findall(f"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", text, re.S)
        if mark == "tokenizer":  # rounding differs between CPUs
            figures = [[float(x) for x in re.findall(r"\d+\.\d", block)] for block in (found, measure())]
            assert len(figures[0]) == 8 and figures[0] == pytest.approx(figures[1], abs=0.2)
        else:
            assert found == measure()


def test_the_card_of_the_benchmark_is_beside_its_prompts():
    from unipose_hf.evaluation.plain_english.prompts import CARD

    assert CARD.read_text(encoding="utf-8") == (ROOT / "hub_cards/plain-english.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    ["unipose-tiny", "unipose-plain", "pose-text-retrieval", "pose-text-retrieval-plain", "pose-pair-text-retrieval"],
)
def test_bundled_cards_are_those_that_the_script_writes(fill, name):
    text = (BUNDLED_CHECKPOINT.with_name(name) / "README.md").read_text(encoding="utf-8")
    assert text == fill.bundled_card(name)
    assert check_model_card(text).data.model_name == name


def test_metadata_is_what_the_hub_accepts():
    bundled = BUNDLED_CHECKPOINT.parent.glob("*/README.md")
    cards = {path: path.read_text(encoding="utf-8") for path in [*(ROOT / "hub_cards").rglob("*.md"), *bundled]}
    assert len(cards) > 12
    for path, text in cards.items():
        if "\ntask_categories:" in text:
            check_dataset_card(text)
        elif "space" not in path.parts:
            check_model_card(text)


def test_a_card_without_the_place_is_refused(fill):
    assert fill.filled("a <!-- m -->old<!-- /m --> b", "m", "new") == "a <!-- m -->\nnew\n<!-- /m --> b"
    with pytest.raises(ValueError, match="0 places"):
        fill.filled("nothing", "m", "new")


def test_the_benchmark_names_the_limit_of_every_figure():
    text = (ROOT / "examples/benchmarks/results/generation.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    answers = [row for row in rows if not re.match(r"matrix|convolution", row[0])]
    assert {row[0].split(",")[0] for row in answers} >= {"text-to-pose", "image-to-pose", "pose tokenizer"}
    assert all(re.search(r"GFLOP|forward|modules", row[2]) for row in answers)
    assert re.search(r"commit [0-9a-f]{7}", text) and "one thread of" in text


def test_ways_of_the_benchmark_count_forwards_of_the_same_answer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples/benchmarks"))
    import generation

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    monkeypatch.setattr(generation, "LANGUAGE_MODEL", generation.LANGUAGE_MODEL | small)
    model = generation.untrained()
    model.model.pose_tokenizer.quantizer.codebook.normal_()
    plain = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    counts, lengths = [], []
    for _, module, work in generation.ways(model, plain, batch=2):
        kept = []
        operations, runs = generation.counted(lambda work=work, kept=kept: kept.append(work()), module)
        assert operations > 0
        counts.append(runs)
        if torch.is_tensor(kept[0]):
            lengths.append(kept[0].shape[1] - generation.PROMPT)
            assert kept[0][0, -3:].tolist() == [generation.STOP, generation.SPACE, generation.END]
    assert counts == [1, 6, 86] and lengths == [86, 86]


def test_the_language_model_alone_answers_in_words_as_the_whole_does():
    """What the card of the 7B model says about servers."""
    model = tiny_model(bidirectional_poses="answer")
    served = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    served.model.load_state_dict(model.model.language_model.state_dict())
    served.lm_head.load_state_dict(model.lm_head.state_dict())
    ids = torch.tensor([[1, 3, POSE_START, *[POSE] * 8, POSE_END, 4]])
    ids = model.model.replace_pose_placeholders(ids, random_rotations(1))
    assert (ids >= CODE_OFFSET).sum() == 10 and POSE not in ids
    with torch.no_grad():
        assert torch.allclose(served(ids).logits, model(ids).logits, atol=1e-5)


def test_the_space_is_the_page_of_the_package(monkeypatch):
    from unipose_hf.app import serving

    started = []
    monkeypatch.setattr(serving, "launch", lambda **options: started.append(options))
    runpy.run_path(str(ROOT / "hub_cards/space/app.py"), run_name="__main__")
    assert started == [{"mcp": True}]
    assert "unipose-hf[app]" in (ROOT / "hub_cards/space/requirements.txt").read_text(encoding="utf-8")
