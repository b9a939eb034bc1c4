# SPDX-License-Identifier: Apache-2.0
"""Pose generation in `generate`: every decoding method matches a simple loop over one row without cache.

The loop, `Reference`, runs the whole row at every step. Poses that are generated or about to be generated are
represented by queries.
"""

import pytest
import torch
from transformers import CompileConfig, DynamicCache, LogitsProcessor, LogitsProcessorList, StaticCache
from transformers.generation.streamers import BaseStreamer

import tiny
from tiny import BOS, CODE_OFFSET, CODEBOOK, EOS, NUM_CODES, PAD, POSE, POSE_END, POSE_QUERY, POSE_START, tiny_model
from unipose_hf.modeling.generation_unipose import CACHE_KEY

BANNED = [POSE_END, POSE_QUERY, POSE, tiny.IMAGE, *range(CODE_OFFSET, CODE_OFFSET + CODEBOOK)]


class StartPoses(LogitsProcessor):
    """Makes rows start a pose at chosen steps (`{row: steps}`) and nowhere else; or anywhere, by `bias`."""

    def __init__(self, prompt_length, schedule=None, bias=0.0, eos_bias=-1000.0):
        self.prompt_length, self.schedule, self.bias, self.eos_bias = prompt_length, schedule, bias, eos_bias

    def score(self, row, step, scores):  # (vocab_size,) of one row in text
        scores = scores.clone()
        scores[EOS] += self.eos_bias
        if self.schedule is None:
            scores[POSE_START] += self.bias
        else:
            scores[POSE_START] = 1000.0 if step in self.schedule.get(row, ()) else -1000.0
        return scores

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.prompt_length
        in_text = scores[:, BOS].isfinite()
        rows = [self.score(row, step, x) if in_text[row] else x for row, x in enumerate(scores)]
        return torch.stack(rows)


class Reference:
    """One row, no cache, no padding. Lists of tokens; written poses are fed as queries."""

    def __init__(self, model, prompt, processor=None, row=0):
        self.model, self.prompt, self.processor, self.row = model, list(prompt), processor, row

    @torch.no_grad()
    def scores(self, written):
        """Logits of the next token after `written`, under the grammar, (vocab_size,)."""
        fed = list(written)
        for start in [i for i, token in enumerate(fed) if token == POSE_START]:
            fed[start + 1 : start + 1 + NUM_CODES] = [POSE_QUERY] * NUM_CODES
        is_open = written.count(POSE_START) > written.count(POSE_END)
        logits = self.model(input_ids=torch.tensor([self.prompt + fed])).logits[0].float()
        scores = torch.full_like(logits[-1], -torch.inf)
        if not is_open:
            scores = logits[-1].clone()
            scores[BANNED] = -torch.inf
            if self.processor is not None:
                scores = self.processor.score(self.row, len(written), scores)
            return scores
        start = len(written) - 1 - written[::-1].index(POSE_START)
        place = len(written) - start - 1
        if place == NUM_CODES:
            scores[POSE_END] = 0.0
        else:
            codes = slice(CODE_OFFSET, CODE_OFFSET + CODEBOOK)
            scores[codes] = logits[len(self.prompt) + start + 1 + place, codes]
        return scores

    def greedy(self, steps, written=()):
        written = list(written)
        while len(written) < steps and EOS not in written:
            written.append(int(self.scores(written).argmax()))
        return written

    def beams(self, steps, count, processor):
        """The `count` best continuations of exactly `steps` tokens by beam search, best first, with their scores."""
        beams = [(0.0, [])]
        for _ in range(steps):
            grown = []
            for total, written in beams:
                log_probs = self.scores(written).log_softmax(-1)  # beams are ranked after the processors
                if log_probs[BOS].isfinite():
                    log_probs = processor.score(self.row, len(written), log_probs)
                best = log_probs.topk(count)
                grown += [
                    (total + float(x), written + [int(token)])
                    for x, token in zip(best.values, best.indices, strict=True)
                ]
            beams = sorted(grown, key=lambda beam: -beam[0])[:count]
        return [(total / steps, written) for total, written in beams]


def pad_left(prompts):
    """Lists of tokens -> input_ids and attention_mask."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


WIDTH = 8


def prompts(count, seed=0):
    """Random prompts of various lengths, the first the longest."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [WIDTH - 1, *torch.randint(2, WIDTH - 1, (count - 1,), generator=generator).tolist()]
    return [[BOS, *torch.randint(3, CODE_OFFSET, (length,), generator=generator).tolist()] for length in lengths]


def new_tokens(sequences):
    """Generated columns of each row up to the end of text, as lists."""
    rows = sequences[:, WIDTH:].tolist()
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


SCHEDULE = {0: [0], 1: [3], 3: [2, 15], 4: [9]}  # row 2 never; row 3 twice
STEPS = 30


def greedy(model, rows, processor=None, steps=STEPS, **kwargs):
    inputs = pad_left(rows)
    processors = LogitsProcessorList([] if processor is None else [processor])
    settings = dict(max_new_tokens=steps, do_sample=False, logits_processor=processors)
    return model.generate(**inputs, **settings | kwargs)


TEXT_MODELS = {
    "llama": {},
    "qwen2": {},
    "mistral": {"sliding_window": 10},
    "gemma3_text": {"sliding_window": 10, "layer_types": ["sliding_attention", "full_attention"]},
}


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("text", TEXT_MODELS)
def test_rows_of_a_batch_write_poses_at_their_own_steps(text, cache):
    model, rows = tiny_model(text, text=TEXT_MODELS[text]), prompts(5)
    processor = StartPoses(WIDTH, SCHEDULE)
    sequences = greedy(model, rows, processor, cache_implementation=cache)
    expected = [Reference(model, prompt, processor, row).greedy(STEPS) for row, prompt in enumerate(rows)]
    assert [row.count(POSE_END) for row in expected] == [1, 1, 0, 2, 1]
    assert new_tokens(sequences) == expected


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_poses_in_prompts_with_place_embeddings(cache):
    model = tiny_model(pose_place_embeddings=True)
    poses = torch.randint(
        CODE_OFFSET, CODE_OFFSET + CODEBOOK, (4, NUM_CODES), generator=torch.Generator().manual_seed(0)
    )
    first, second, third, fourth = ([POSE_START, *pose, POSE_END] for pose in poses.tolist())
    rows = [[BOS, 5, *first, 6, *second, 7], [BOS, *third, 8], [BOS, 9], [BOS, 4, *fourth]]
    width = len(rows[0])
    processor = StartPoses(width, {0: [0], 1: [2, 15], 3: [5]})
    sequences = greedy(model, rows, processor, cache_implementation=cache)
    for row, prompt in enumerate(rows):
        written = Reference(model, prompt, processor, row).greedy(STEPS)
        assert sequences[row, width:].tolist() == written
        assert written.count(POSE_END) == [1, 2, 0, 1][row]
    published = greedy(tiny_model(), rows, processor, cache_implementation=cache)
    assert not published[:, width:].equal(sequences[:, width:])


@pytest.mark.parametrize("bidirectional", ["all", "answer", "none"])
def test_rows_that_begin_and_end_when_they_like(bidirectional):
    model, rows = tiny_model(seed=3, bidirectional_poses=bidirectional), prompts(6, seed=1)
    processor = StartPoses(WIDTH, bias=3.0, eos_bias=2.5)
    sequences = greedy(model, rows, processor, steps=48)
    expected = [Reference(model, prompt, processor, row).greedy(48) for row, prompt in enumerate(rows)]
    assert new_tokens(sequences) == expected
    lengths = {len(row) for row in expected}
    assert len(lengths) > 2 and len({row.count(POSE_END) for row in expected}) > 1, expected


def test_prompt_that_ends_with_pose_start():
    model, rows = tiny_model(), [prompt + [POSE_START] * (row in (0, 2)) for row, prompt in enumerate(prompts(4))]
    processor = StartPoses(WIDTH + 1, {1: [4]})
    sequences = greedy(model, rows, processor, steps=20)
    for row, prompt in enumerate(rows):
        if prompt[-1] != POSE_START:
            expected = Reference(model, prompt, processor, row).greedy(20)
        else:  # the schedule counts from <pose_start>
            reference = Reference(model, prompt[:-1], StartPoses(0, {}), row)
            expected = reference.greedy(21, [POSE_START])[1:]
        assert sequences[row, -20:].tolist() == expected


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_samples_come_from_the_distributions_of_the_reference(cache):
    model, rows = tiny_model(seed=1), prompts(2)
    processor = StartPoses(0, bias=2.5)
    torch.manual_seed(0)
    result = model.generate(
        **pad_left(rows),
        max_new_tokens=STEPS,
        do_sample=True,
        top_k=0,
        num_return_sequences=3,
        logits_processor=LogitsProcessorList([processor]),
        output_logits=True,
        return_dict_in_generate=True,
        cache_implementation=cache,
    )
    assert len(result.logits) == STEPS
    assert len({tuple(row) for row in result.sequences.tolist()}) == 6
    assert (result.sequences == POSE_END).sum() >= 4
    logits = torch.stack(result.logits, 1)  # (6, STEPS, vocab_size)
    for row, written in enumerate(result.sequences[:, -STEPS:].tolist()):
        reference = Reference(model, rows[row // 3])
        expected = torch.stack([reference.scores(written[:step]) for step in range(STEPS)])
        torch.testing.assert_close(logits[row], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_beam_search(cache):
    model, rows = tiny_model(seed=2), prompts(2, seed=2)
    steps = 16
    processor = StartPoses(0, bias=2.5)
    result = greedy(
        model,
        rows,
        processor,
        steps=steps,
        num_beams=3,
        num_return_sequences=3,
        output_scores=True,
        return_dict_in_generate=True,
        cache_implementation=cache,
    )
    assert (result.sequences == POSE_END).any()
    for row, prompt in enumerate(rows):
        expected = Reference(model, prompt).beams(steps, 3, processor)
        found = slice(3 * row, 3 * row + 3)
        assert result.sequences[found, -steps:].tolist() == [written for _, written in expected]
        torch.testing.assert_close(
            result.sequences_scores[found], torch.tensor([score for score, _ in expected]), atol=1e-4, rtol=1e-4
        )


class Recorder(BaseStreamer):
    def __init__(self):
        self.tokens, self.ended = [], False

    def put(self, value):
        self.tokens += value.flatten().tolist()

    def end(self):
        self.ended = True


def test_a_streamer_gets_every_token_once():
    model, rows = tiny_model(), prompts(1)
    recorder = Recorder()
    sequences = greedy(model, rows, StartPoses(len(rows[0]), {0: [2, 14]}), streamer=recorder)
    assert recorder.tokens == sequences[0].tolist() and recorder.ended


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("steps", [24, 2 + NUM_CODES + 2, 5, 2 + 4])
def test_second_turn_with_the_cache_of_the_first(static, steps):
    """The first turn may stop in text or with the last token of a pose; its poses stay in the cache as queries."""
    model, rows = tiny_model(), prompts(3)
    cache = StaticCache(model.config, max_cache_len=120) if static else DynamicCache(config=model.config)
    schedule = {0: [2], 1: [2], 2: [2, 13]} if steps > 20 else {0: [2], 1: [2], 2: [2]}
    if steps < 2 + NUM_CODES + 2:
        schedule = {}
    first = greedy(model, rows, StartPoses(WIDTH, schedule), steps=steps, past_key_values=cache)
    assert int(cache.get_seq_length()) == first.shape[1] - 1
    user = torch.randint(3, CODE_OFFSET, (3, 4))
    whole = torch.cat([first, user], 1)
    mask = torch.cat([pad_left(rows)["attention_mask"], torch.ones_like(whole[:, WIDTH:])], 1)
    processor = StartPoses(whole.shape[1], {1: [1], 2: [3]})
    second = model.generate(
        input_ids=whole,
        attention_mask=mask,
        past_key_values=cache,
        max_new_tokens=16,
        do_sample=False,
        logits_processor=LogitsProcessorList([processor]),
    )
    for row, prompt in enumerate(rows):
        history = whole[row, WIDTH:].tolist()
        shifted = StartPoses(0, {row: [step + len(history) for step in processor.schedule.get(row, ())]})
        expected = Reference(model, prompt, shifted, row).greedy(len(history) + 16, history)
        assert second[row, WIDTH:].tolist() == expected


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_cache_has_the_names_of_all_versions_of_transformers(name):
    model, rows = tiny_model(), prompts(1)
    expected = greedy(model, rows, StartPoses(len(rows[0]), {0: [2]}), steps=14, return_dict_in_generate=True)
    ids = expected.sequences
    cache = DynamicCache(config=model.config)
    first = greedy(model, rows, StartPoses(len(rows[0]), {0: [2]}), steps=14, **{name: cache})
    assert first.equal(ids) and cache.get_seq_length() == ids.shape[1] - 1
    assert getattr(expected, CACHE_KEY).get_seq_length() == ids.shape[1] - 1
    for part in (model, model.model):
        own = DynamicCache(config=model.config)
        output = part(ids[:, :3], **{name: own})
        assert getattr(output, CACHE_KEY) is own and own.get_seq_length() == 3


def test_a_cache_stopped_within_a_pose_is_refused_in_the_next_turn():
    model, rows = tiny_model(), prompts(1)
    cache = DynamicCache()
    first = greedy(model, rows, StartPoses(len(rows[0]), {0: [1]}), steps=5, past_key_values=cache)
    assert cache.get_seq_length() == first.shape[1] - 1
    with pytest.raises(ValueError, match="ends within a pose block"):
        greedy(model, first.tolist(), past_key_values=cache)


class Count:
    """How often the language model runs, and over how many columns."""

    def __init__(self, model):
        self.columns = []
        self.hook = model.model.language_model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module, args, kwargs):
        self.columns.append(kwargs["inputs_embeds"].shape[1])


def test_a_pose_costs_one_forward_pass():
    model, rows = tiny_model(), prompts(2)
    count = Count(model)
    steps = 3 + 1 + NUM_CODES + 1 + 2  # words, <pose_start>, codes, <pose_end>, words
    greedy(model, rows, StartPoses(WIDTH, {0: [3], 1: [3]}), steps=steps)
    # fed: the prompt, the words, <pose_start> with the queries, <pose_end>, the first word after it
    assert count.columns == [WIDTH, 1, 1, 1, 1 + NUM_CODES, 1, 1]
    count.columns.clear()
    greedy(model, rows, StartPoses(WIDTH, {0: [3]}), steps=steps)  # the other row continues
    assert count.columns.count(1 + NUM_CODES) == 1
    assert len(count.columns) == steps
    count.columns.clear()
    model.generate_pose(**pad_left(rows))
    assert count.columns == [WIDTH + 1 + NUM_CODES]


def test_steps_without_a_forward_pass_have_no_hidden_states():
    model, rows = tiny_model(), prompts(1)
    settings = dict(return_dict_in_generate=True, output_hidden_states=True, output_attentions=True)
    model.set_attn_implementation("eager")
    result = greedy(model, rows, StartPoses(WIDTH, {0: [1]}), steps=14, **settings)
    without = [step for step, states in enumerate(result.hidden_states) if states is None]
    assert without == list(range(3, 3 + NUM_CODES))  # the first code comes with the pass, <pose_end> from the queue
    assert [step for step, weights in enumerate(result.attentions) if weights is None] == without
    assert getattr(result, CACHE_KEY).get_seq_length() == WIDTH + 13


def test_without_skipped_steps_the_tokens_are_the_same(monkeypatch):
    """Where weights are sharded over processes no step may do without a forward pass."""
    model, rows = tiny_model(), prompts(5)
    expected = greedy(model, rows, StartPoses(WIDTH, SCHEDULE))
    module = __import__("unipose_hf.modeling.generation_unipose", fromlist=["x"])
    monkeypatch.setattr(module, "is_fsdp_managed_module", lambda model: True)
    count = Count(model)
    assert greedy(model, rows, StartPoses(WIDTH, SCHEDULE)).equal(expected)
    assert len(count.columns) == STEPS


def test_compiled_steps():
    model, rows = tiny_model(), prompts(5)
    expected = greedy(model, rows, StartPoses(WIDTH, SCHEDULE))
    compile_config = CompileConfig(fullgraph=True, backend="eager")
    compile_config._compile_all_devices = True
    result = greedy(
        model, rows, StartPoses(WIDTH, SCHEDULE), cache_implementation="static", compile_config=compile_config
    )
    assert result.equal(expected)


def test_generate_pose_gives_the_codes_of_greedy_generate():
    model, rows = tiny_model(), prompts(4)
    answer = model.generate_pose(**pad_left(rows))
    sequences = greedy(model, rows, StartPoses(WIDTH, {row: [0] for row in range(4)}), steps=NUM_CODES + 2)
    assert sequences[:, WIDTH + 1 : -1].equal(answer.codes + CODE_OFFSET)
    poses = model.decode_poses(sequences[:, WIDTH:])
    assert [len(row) for row in poses] == [1] * 4
    torch.testing.assert_close(torch.stack([row[0] for row in poses]), answer.rotations)


def test_generate_pose_decodings():
    model, rows = tiny_model(), prompts(2)
    inputs = pad_left(rows)
    likeliest = model.generate_pose(**inputs)
    assert likeliest.rotations.shape == (2, 22, 3, 3) and likeliest.rotations.dtype == torch.float32
    chosen = likeliest.probabilities.max(-1).values
    torch.testing.assert_close(likeliest.scores, chosen.log().mean(-1).exp())
    mean = model.generate_pose(**inputs, decoding="expected")
    tokenizer = model.model.pose_tokenizer
    torch.testing.assert_close(mean.rotations, tokenizer.decode_expected(likeliest.probabilities).rotations)
    assert mean.codes.equal(likeliest.codes) and not torch.allclose(mean.rotations, likeliest.rotations, atol=1e-3)
    torch.manual_seed(0)
    samples = model.generate_pose(**inputs, decoding="sample", num_return_sequences=2000)
    assert samples.codes.shape == (4000, NUM_CODES)
    share = torch.nn.functional.one_hot(samples.codes.unflatten(0, (2, 2000)), CODEBOOK).double().mean(1)
    torch.testing.assert_close(share, samples.probabilities.double(), atol=0.05, rtol=0)
    cold = model.generate_pose(**inputs, decoding="sample", temperature=1e-4, num_return_sequences=2)
    assert cold.codes.equal(likeliest.codes.repeat_interleave(2, 0))
    torch.testing.assert_close(cold.rotations, likeliest.rotations.repeat_interleave(2, 0))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_prompt_poses_keep_their_order_when_rows_are_multiplied(num_beams):
    model = tiny_model()
    block = [POSE_START] + [POSE] * NUM_CODES + [POSE_END]
    rows = [[BOS, 5, *block, 6, *block, 7], [BOS, *block, 8]]
    rotations = tiny.random_rotations(3)
    codes = model.get_pose_codes(rotations) + CODE_OFFSET
    inputs = pad_left(rows)
    processor = LogitsProcessorList([StartPoses(0, bias=1.0)])
    settings = dict(max_new_tokens=14, logits_processor=processor, num_beams=num_beams, num_return_sequences=3)
    settings |= dict(do_sample=num_beams == 1)
    torch.manual_seed(0)
    by_value = model.generate(**inputs, pose_values=rotations, **settings)
    replaced = inputs["input_ids"].masked_scatter(inputs["input_ids"] == POSE, codes)
    torch.manual_seed(0)
    by_code = model.generate(input_ids=replaced, attention_mask=inputs["attention_mask"], **settings)
    assert by_value.equal(by_code)
    prompt_poses = model.decode_poses(by_value[:, : replaced.shape[1]])
    assert [len(row) for row in prompt_poses] == [2, 2, 2, 1, 1, 1]
    decoded = model.model.pose_tokenizer.decode(codes - CODE_OFFSET).rotations
    torch.testing.assert_close(torch.stack(prompt_poses[1] + prompt_poses[5]), decoded)


@pytest.mark.parametrize("towers", [dict(vision=tiny.CLIP, pose_vision=tiny.VITPOSE), dict(pose_vision=tiny.VITPOSE)])
def test_images_reach_generate(towers):
    model = tiny_model(**towers)
    count = model.config.image_seq_length
    rows = [[BOS, 5, *[tiny.IMAGE] * count, 6, *[tiny.IMAGE] * count], [BOS, *[tiny.IMAGE] * count, 8]]
    generator = torch.Generator().manual_seed(0)
    views = {"pose_pixel_values": torch.randn(3, 3, 32, 24, generator=generator)}
    if "vision" in towers:
        views["pixel_values"] = torch.randn(3, 3, 28, 28, generator=generator)
    inputs = pad_left(rows) | views
    width = inputs["input_ids"].shape[1]
    processor = StartPoses(width, {0: [1], 1: [3]})
    settings = dict(max_new_tokens=16, logits_processor=LogitsProcessorList([processor]), do_sample=False)
    batch = model.generate(**inputs, **settings)
    for row, images in enumerate([slice(0, 2), slice(2, 3)]):
        alone = {name: view[images] for name, view in views.items()}
        processor.schedule = {0: [1] if row == 0 else [3]}
        processor.prompt_length = len(rows[row])
        single = model.generate(input_ids=torch.tensor([rows[row]]), **alone, **settings)
        assert single[0, len(rows[row]) :].equal(batch[row, width:])
    processor.prompt_length, processor.schedule = width, {0: [1], 1: [1], 2: [3], 3: [3]}
    beams = model.generate(**inputs, **settings, num_beams=2)
    assert beams.shape == batch.shape and (beams == POSE_END).any(1).all()


def test_end_of_text_may_be_the_end_of_a_pose():
    model, rows = tiny_model(), prompts(3)
    processor = StartPoses(WIDTH, {0: [1], 1: [4], 2: [2]})
    sequences = greedy(model, rows, processor, eos_token_id=[EOS, POSE_END], pad_token_id=PAD)
    for row, prompt in enumerate(rows):
        expected = Reference(model, prompt, processor, row).greedy(STEPS)
        expected = expected[: expected.index(POSE_END) + 1]
        written = sequences[row, WIDTH:].tolist()
        assert written[: len(expected)] == expected and set(written[len(expected) :]) <= {PAD}


def test_the_end_of_a_pose_survives_other_processors():
    model, rows = tiny_model(), prompts(1)
    processor = StartPoses(len(rows[0]), {0: [0, 12]})
    sequences = greedy(model, rows, processor, steps=24, bad_words_ids=[[POSE_END]], repetition_penalty=1.5)
    assert len(model.decode_poses(sequences)[0]) == 2


def test_incomplete_blocks_are_not_decoded():
    model = tiny_model()
    codes = list(range(CODE_OFFSET, CODE_OFFSET + NUM_CODES))
    full = [POSE_START, *codes, POSE_END]
    rows = [full[:-1] + [5], [POSE_START, *codes[1:], POSE_END, 5, 6][: len(full)], full]
    assert [len(row) for row in model.decode_poses(torch.tensor(rows))] == [0, 0, 1]
    assert model.decode_poses(torch.tensor([[5, 6]])) == [[]]
    twice = model.decode_poses(torch.tensor([full + [7] + full[:1] + full[2:9] + full[1:2] + full[-1:]]))[0]
    assert len(twice) == 2 and twice[0].shape == (22, 3, 3) and not twice[0].equal(twice[1])


def test_text_needs_no_cache_but_a_pose_does():
    model, rows = tiny_model(), prompts(2)
    expected = greedy(model, rows, StartPoses(WIDTH, {}), steps=6)
    assert greedy(model, rows, StartPoses(WIDTH, {}), steps=6, use_cache=False).equal(expected)
    with pytest.raises(ValueError, match="use_cache=True"):
        greedy(model, rows, StartPoses(WIDTH, {1: [2]}), steps=6, use_cache=False)


def test_prefill_in_chunks_is_for_prompts_without_poses():
    model, rows = tiny_model(), prompts(2)
    processor = StartPoses(WIDTH, {0: [2]})
    expected = greedy(model, rows, processor)
    assert greedy(model, rows, processor, prefill_chunk_size=3).equal(expected)
    block = [POSE_START, *range(CODE_OFFSET, CODE_OFFSET + NUM_CODES), POSE_END]
    with_pose = [[BOS, *block, 5]]
    with pytest.raises(ValueError, match="prefill_chunk_size"):
        greedy(model, with_pose, prefill_chunk_size=3)
    causal = tiny_model(bidirectional_poses="answer")
    assert greedy(causal, with_pose, prefill_chunk_size=3).equal(greedy(causal, with_pose))


def test_what_generate_refuses():
    model, rows = tiny_model("mistral", text={"sliding_window": 10}), prompts(1)
    start = StartPoses(len(rows[0]), {0: [1]})
    with pytest.raises(ValueError, match="Assisted generation cannot write poses"):
        model.generate(torch.tensor(rows), prompt_lookup_num_tokens=2)
    with pytest.raises(ValueError, match="Continuous batching"):
        model.generate_batch(rows)
    with pytest.raises(ValueError, match="holds 12 positions"):
        short = StaticCache(tiny_model().config, max_cache_len=12)
        greedy(model, rows, start, steps=4, past_key_values=short)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(torch.tensor(rows), past_key_values=cache)  # its window has started to slide
    with pytest.raises(ValueError, match="DynamicSlidingWindowLayer"):
        greedy(model, [rows[0] + [5]], start, past_key_values=cache)
    with pytest.raises(ValueError, match="cannot end with <pose_start>"):
        ids = torch.tensor([rows[0] + [POSE_START]])
        model.generate(input_ids=ids, inputs_embeds=model.get_input_embeddings()(ids), max_new_tokens=3)
    with pytest.raises(ValueError, match="row 1 ends within a pose block"):
        greedy(model, [[5, 6, 7], [5, POSE_START, CODE_OFFSET]])


@pytest.mark.parametrize(
    ("end", "message"),
    [([5, POSE_START], "cannot end with <pose_start>"), ([POSE_START, CODE_OFFSET], "row 1 ends within a pose block")],
)
def test_embeddings_that_end_in_a_pose_are_refused(end, message):
    """Without their tokens, and in a second turn: the first may have stopped within a pose."""
    model = tiny_model()
    embedded = model.get_input_embeddings()(torch.tensor([[BOS, 5, 6], [BOS, *end]]))
    with pytest.raises(ValueError, match=message):
        model.generate(inputs_embeds=embedded, max_new_tokens=3)
    cache = DynamicCache(config=model.config)
    first = model.generate(inputs_embeds=embedded[:, :1], past_key_values=cache, max_new_tokens=1)
    assert first.shape == (2, 1) and cache.get_seq_length() == 1
    with pytest.raises(ValueError, match=message):
        model.generate(inputs_embeds=embedded, past_key_values=cache, max_new_tokens=3)


def test_text_from_embeddings_then_a_pose():
    model, rows = tiny_model(), prompts(1)
    ids = torch.tensor(rows)
    expected = greedy(model, rows, StartPoses(len(rows[0]), {0: [2]}))
    settings = dict(
        max_new_tokens=STEPS, do_sample=False, logits_processor=LogitsProcessorList([StartPoses(0, {0: [2]})])
    )
    result = model.generate(inputs_embeds=model.get_input_embeddings()(ids), **settings)
    assert result.equal(expected[:, ids.shape[1] :])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(decoding="best"), "decoding is 'best'; choose \"argmax\""),
        (dict(num_return_sequences=2), "has one answer"),
        (dict(decoding="sample", num_return_sequences=0), "num_return_sequences is 0"),
        (dict(temperature=0.0), "temperature is 0.0"),
        (dict(attention_mask=torch.tensor([[1, 1, 0]])), "padded on the right"),
    ],
)
def test_what_generate_pose_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_model().generate_pose(torch.tensor([[BOS, 5, 6]]), **arguments)


def test_how_poses_are_decoded_belongs_to_the_generation_config(tmp_path):
    model, ids = tiny_model(), torch.tensor([[BOS, 5, 6]])
    assert model.generation_config.pose_decoding == "argmax" and "pose_decoding" not in model.config.to_dict()
    likeliest, mean = (model.generate_pose(ids, decoding=kind).rotations for kind in ("argmax", "expected"))
    assert model.generate_pose(ids).rotations.equal(likeliest) and not likeliest.equal(mean)
    model.generation_config.pose_decoding = "expected"
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.generate_pose(ids).rotations.equal(mean)
    assert again.generate(ids, max_new_tokens=3, do_sample=False).shape == (1, 6)


@pytest.mark.parametrize("options", [dict(prompt_lookup_num_tokens=3), dict(assistant_early_exit=1), "model"])
def test_assisted_decoding_is_refused_in_a_sentence(options):
    model = tiny_model()
    options = dict(assistant_model=tiny_model()) if options == "model" else options
    with pytest.raises(
        ValueError, match="^Assisted generation cannot write poses; leave its options out and use greedy .* search.$"
    ):
        model.generate(torch.tensor([[BOS, 5, 6]]), max_new_tokens=3, **options)
