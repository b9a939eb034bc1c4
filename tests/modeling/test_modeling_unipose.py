# SPDX-License-Identifier: Apache-2.0
"""The forward pass: attention, images, prompt poses, loss, precision, saving."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, DynamicCache

import tiny
from tiny import (
    BLAZEPOSE,
    BOS,
    CLIP,
    CODE_OFFSET,
    CODEBOOK,
    EOS,
    IMAGE,
    NUM_CODES,
    PAD,
    POSE,
    POSE_END,
    POSE_QUERY,
    POSE_START,
    VITPOSE,
    random_rotations,
    tiny_config,
    tiny_model,
)
from unipose_hf.modeling.configuration_unipose import UniPoseConfig
from unipose_hf.modeling.encoders_unipose import image_grid
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration, make_shift_labels

CODES = list(range(CODE_OFFSET, CODE_OFFSET + NUM_CODES))
PROMPT_POSE = [POSE_START, *CODES, POSE_END]
ANSWER_POSE = [POSE_START, *[POSE_QUERY] * NUM_CODES, POSE_END]


def views(model, count, seed=0):
    """Random pictures for the encoders of a model."""
    generator, result = torch.Generator().manual_seed(seed), {}
    if model.config.vision_config is not None:
        size = model.config.vision_config.image_size
        result["pixel_values"] = torch.randn(count, 3, size, size, generator=generator)
    if model.config.pose_vision_config is not None:
        size = model.config.pose_vision_config.image_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        result["pose_pixel_values"] = torch.rand(count, 3, *size, generator=generator)
    return result


# --- attention


def hand_made_mask(ids, bidirectional, window=None):
    """Which column (row of the mask) sees which, (columns, columns), by two loops."""
    allowed = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    kinds = {"all": [*CODES, POSE_QUERY], "answer": [POSE_QUERY], "none": []}[bidirectional]
    block, blocks = 0, []
    for token in ids:
        block += token == POSE_START
        blocks.append(block if token in kinds else None)
    for i in range(len(ids)):
        for j in range(len(ids)):
            causal = j <= i and (window is None or i - j < window)
            same_block = blocks[i] is not None and blocks[i] == blocks[j]
            allowed[i, j] = (causal or same_block) and ids[j] != PAD
    return allowed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("bidirectional", ["all", "answer", "none"])
@pytest.mark.parametrize(("text", "window"), [("llama", None), ("qwen2", None), ("mistral", 6)])
def test_attention_is_that_of_a_hand_made_mask(text, window, bidirectional, attention):
    model = tiny_model(text, text={"sliding_window": window}, bidirectional_poses=bidirectional)
    model.set_attn_implementation(attention)
    row = [BOS, 5, *PROMPT_POSE, 6, *PROMPT_POSE, *ANSWER_POSE, 7, *ANSWER_POSE, EOS]
    ids = torch.tensor([row, [PAD] * 11 + row[:2] + row[13:]])
    by_model = model(ids, attention_mask=(ids != PAD).long()).logits
    allowed = torch.stack([hand_made_mask(row, bidirectional, window) for row in ids.tolist()])
    allowed[:, range(len(row)), range(len(row))] = True  # padding attends to itself, otherwise its softmax is empty
    by_hand = model(ids, attention_mask=torch.where(allowed, 0.0, torch.finfo(torch.float32).min)[:, None]).logits
    real = ids != PAD
    torch.testing.assert_close(by_model[real], by_hand[real], atol=1e-5, rtol=1e-5)


def test_what_bidirectional_poses_changes():
    row = torch.tensor([[BOS, 5, *PROMPT_POSE, 6, *ANSWER_POSE, EOS]])
    logits = {name: tiny_model(bidirectional_poses=name)(row).logits[0] for name in ("all", "answer", "none")}
    first_prompt_code, first_query = 3, 3 + NUM_CODES + 3
    gap = (logits["all"] - logits["answer"]).abs().amax(-1)
    assert (gap[: first_prompt_code - 1] == 0).all() and gap[first_prompt_code] > 0.1
    gap = (logits["answer"] - logits["none"]).abs().amax(-1)
    assert (gap[: first_query - 1] < 1e-5).all() and gap[first_query] > 0.1


@pytest.mark.parametrize("places", [False, True])
@pytest.mark.parametrize("text", ["llama", "qwen2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(text, side, places):
    model = tiny_model(text, pose_place_embeddings=places)
    rows = [[BOS, 5, *PROMPT_POSE, *ANSWER_POSE, EOS], [BOS, 6, 7, *ANSWER_POSE]]
    width = len(rows[0])
    blank = [[PAD] * (width - len(row)) for row in rows]
    ids = torch.tensor(
        [x + row if side == "left" else row + x for x, row in zip(blank, rows, strict=True)], dtype=torch.long
    )
    mask = (ids != PAD).long()
    batch = model(ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp_min(0)).logits
    for index, row in enumerate(rows):
        alone = model(torch.tensor([row])).logits[0]
        torch.testing.assert_close(batch[index][mask[index].bool()], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("places", [False, True])
@pytest.mark.parametrize("text", ["llama", "qwen2", "mistral"])
def test_cached_is_uncached(text, places):
    """The row is fed in pieces that do not cut a block."""
    model = tiny_model(text, pose_place_embeddings=places)
    pieces = [
        [BOS, 5],
        PROMPT_POSE[:-1],
        [POSE_END],
        [6, *PROMPT_POSE, POSE_START],
        [POSE_QUERY] * NUM_CODES,
        [7],
        [8],
    ]
    whole = model(torch.tensor([sum(pieces, [])])).logits
    cache, parts = DynamicCache(), []
    for piece in pieces:
        parts.append(model(torch.tensor([piece]), past_key_values=cache).logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_flash_attention_is_refused_only_with_a_block():
    model = tiny_model()
    model.model.language_model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match='attn_implementation="sdpa"'):
        model(torch.tensor([[BOS, *ANSWER_POSE]]))
    assert model.model._attention_mask(torch.tensor([[BOS, 5]]), None, None, None, None) is None


# --- images


@pytest.mark.parametrize(
    ("vision", "pose_vision", "grid"),
    [
        (CLIP, VITPOSE, (4, 4)),
        (CLIP, None, (4, 4)),
        (None, VITPOSE, (4, 3)),
        (None, BLAZEPOSE, (1, 1)),
        (CLIP, BLAZEPOSE, (4, 4)),
    ],
)
def test_image_seq_length(vision, pose_vision, grid):
    model = tiny_model(vision=vision, pose_vision=pose_vision, image_tokens_per_cell=3)
    assert image_grid(model.config) == grid
    assert model.config.image_seq_length == 3 * grid[0] * grid[1]
    features = model.get_image_features(**views(model, 2)).pooler_output
    assert features.shape == (2, model.config.image_seq_length, 32)


def test_published_sizes():
    config = UniPoseConfig(text_config={"model_type": "llama", "num_hidden_layers": 1, "vocab_size": 34053})
    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config)
    assert config.image_seq_length == 576
    assert model.model.multi_modal_projector.linear_1.weight.shape == (4096, 1024 + 1280)
    assert model.model.pose_query_embeddings.weight.shape == (80, 4096)


def test_features_of_both_encoders_meet_cell_by_cell():
    model = tiny_model(vision=CLIP, pose_vision=VITPOSE).model
    pictures = views(model, 2)
    features = model.get_image_features(**pictures)
    general = model.vision_tower(pictures["pixel_values"], output_hidden_states=True).hidden_states[-1][:, 1:]
    pose = model.pose_vision_tower(pictures["pose_pixel_values"]).feature_maps[-1]  # 4 rows of 3
    padded = torch.zeros(2, 4, 4, 24)
    padded[:, :, :3] = pose.unflatten(1, (4, 3))  # one column is missing: it goes to the right
    cells = torch.cat([general, padded.flatten(1, 2)], -1)
    torch.testing.assert_close(features.last_hidden_state, cells)
    projector = model.multi_modal_projector
    torch.testing.assert_close(features.pooler_output, projector.linear_2(F.gelu(projector.linear_1(cells))))
    assert features.hidden_states is None
    assert len(model.get_image_features(**pictures, output_hidden_states=True).hidden_states) == 3


def test_pose_map_is_padded_on_both_sides_and_resampled_with_aligned_corners():
    model = tiny_model(pose_vision=VITPOSE | {"image_size": [32, 16]}, vision_feature_size=7).model
    pictures = views(model, 1)
    pose = model.pose_vision_tower(**{"pixel_values": pictures["pose_pixel_values"]}).feature_maps[-1]
    padded = torch.zeros(1, 24, 4, 4)
    padded[..., 1:3] = pose.unflatten(1, (4, 2)).permute(0, 3, 1, 2)
    cells = model.get_image_features(**pictures).last_hidden_state.unflatten(1, (7, 7))
    for row in range(7):  # bilinear by hand, with aligned corners
        for column in range(7):
            y, x = row * 3 / 6, column * 3 / 6
            y0, x0 = min(int(y), 2), min(int(x), 2)
            top = torch.lerp(padded[0, :, y0, x0], padded[0, :, y0, x0 + 1], x - x0)
            bottom = torch.lerp(padded[0, :, y0 + 1, x0], padded[0, :, y0 + 1, x0 + 1], x - x0)
            torch.testing.assert_close(cells[0, row, column], torch.lerp(top, bottom, y - y0))


@pytest.mark.parametrize(
    ("model_type", "extra", "settings"),
    [("siglip_vision_model", 0, {}), ("dinov2_with_registers", 3, {"num_register_tokens": 2, "mlp_ratio": 1})],
)
def test_other_general_encoders(model_type, extra, settings):
    model = tiny_model(vision=CLIP | {"model_type": model_type} | settings).model
    pictures = views(model, 1)
    hidden = model.vision_tower(**pictures, output_hidden_states=True).hidden_states[-1]
    assert hidden.shape[1] == 16 + extra
    torch.testing.assert_close(model.get_image_features(**pictures).last_hidden_state, hidden[:, extra:])


def test_images_keep_their_order():
    model = tiny_model(vision=CLIP, pose_vision=VITPOSE)
    block = [IMAGE] * model.config.image_seq_length
    pictures = views(model, 3)
    ids = torch.tensor([[BOS, 5, *block, 6, *block, 7], [BOS, *block, *[8] * len(block), 9, 10, 11]])
    batch = model(ids, **pictures)
    assert batch.image_hidden_states.shape == (3, 16, 32)
    for row, images in enumerate(([0, 1], [2])):
        alone = model(ids[row : row + 1], **{name: view[images] for name, view in pictures.items()}).logits
        torch.testing.assert_close(batch.logits[row : row + 1], alone, atol=1e-5, rtol=1e-5)
    swapped = model(ids[:1], **{name: view[[1, 0]] for name, view in pictures.items()}).logits
    assert (swapped - batch.logits[:1]).abs().max() > 0.1
    encoded = {"image": model.get_image_features(**pictures)}
    torch.testing.assert_close(model(ids, mm_encoder_outputs=encoded).logits, batch.logits)
    by_embeds = model(inputs_embeds=model.get_input_embeddings()(ids), **pictures).logits
    torch.testing.assert_close(by_embeds, batch.logits)


@pytest.mark.parametrize("pose_vision", [None, BLAZEPOSE])
def test_wrong_images_are_named(pose_vision):
    both = tiny_model(vision=CLIP, pose_vision=VITPOSE)
    pictures = views(both, 1)
    ids = torch.tensor([[BOS, *[IMAGE] * 16]])
    with pytest.raises(ValueError, match="15 <image> placeholders, but 1 images need 16"):
        both(ids[:, :-1], **pictures)
    with pytest.raises(ValueError, match="needs pixel_values and pose_pixel_values .* but was given pixel_values;"):
        both(ids, pixel_values=pictures["pixel_values"])
    with pytest.raises(ValueError, match="no vision encoder"):
        tiny_model()(ids, **pictures)
    with pytest.raises(ValueError, match="image_seq_length is 5, but .* produce 16"):
        tiny_model(vision=CLIP, pose_vision=pose_vision, image_seq_length=5)


# --- prompt poses


def test_prompt_poses_become_their_codes():
    model = tiny_model()
    rotations = random_rotations(3)
    codes = model.get_pose_codes(rotations)
    assert codes.shape == (3, NUM_CODES) and codes.equal(model.model.pose_tokenizer.encode(rotations).codes)
    place = [POSE_START, *[POSE] * NUM_CODES, POSE_END]
    ids = torch.tensor([[BOS, *place, *place, 5], [BOS, 6, 7, *place, *[8] * (NUM_CODES + 2)][: 2 * len(place) + 2]])
    by_value = model(ids, pose_values=rotations).logits
    by_code = model(ids.masked_scatter(ids == POSE, codes + CODE_OFFSET)).logits
    torch.testing.assert_close(by_value, by_code)
    with pytest.raises(ValueError, match="24 <pose> placeholders, but 2 poses in pose_values need 16"):
        model(ids, pose_values=rotations[:2])
    with pytest.raises(ValueError, match="but 0 poses"):
        model(ids)


def test_each_query_has_its_place():
    model = tiny_model()
    embedded = model.model._embed(torch.tensor([[PAD, BOS, *ANSWER_POSE, 5, *ANSWER_POSE]]))[0]
    queries = model.model.pose_query_embeddings.weight
    assert embedded[3 : 3 + NUM_CODES].equal(queries)
    assert embedded[3 + NUM_CODES + 3 : -1].equal(queries)
    words = model.get_input_embeddings().weight
    assert embedded[1].equal(words[BOS]) and embedded[-1].equal(words[POSE_END])


def test_codes_of_a_prompt_pose_are_told_their_places():
    plain, placed = tiny_model(), tiny_model(pose_place_embeddings=True)
    code = CODE_OFFSET + 3
    prompt_pose = [POSE_START, *[code] * NUM_CODES, POSE_END]
    ids = torch.tensor([[PAD, BOS, *prompt_pose, 5, *prompt_pose, *ANSWER_POSE]])
    words, queries = placed.get_input_embeddings().weight, placed.model.pose_query_embeddings.weight
    assert words.equal(plain.get_input_embeddings().weight)
    first, second, answer = (slice(start, start + NUM_CODES) for start in (3, 6 + NUM_CODES, 8 + 2 * NUM_CODES))
    embedded = placed.model._embed(ids)[0]
    for block in (first, second):
        torch.testing.assert_close(embedded[block], words[code] + queries)
    assert embedded[answer].equal(queries)
    published = plain.model._embed(ids)[0]
    assert published[first].equal(words[code].expand(NUM_CODES, -1)) and published[answer].equal(queries)
    others = torch.ones(ids.shape[1], dtype=torch.bool)
    others[first] = others[second] = False
    assert embedded[others].equal(published[others])


# --- loss


def training_batch():
    rows = [[BOS, 5, *PROMPT_POSE, 6, *ANSWER_POSE, EOS], [BOS, 7, *ANSWER_POSE, 9, *ANSWER_POSE, EOS]]
    ids = torch.tensor([row + [PAD] * (24 - len(row)) for row in rows])
    labels = torch.full_like(ids, -100)
    labels[0, 13:24], labels[1, 2:24] = ids[0, 13:24], ids[1, 2:24]
    codes = torch.randint(CODEBOOK, (3, NUM_CODES), generator=torch.Generator().manual_seed(0))
    labels = labels.masked_scatter(ids == POSE_QUERY, codes + CODE_OFFSET).masked_fill(ids == PAD, -100)
    return ids, labels, codes


def test_shift_labels():
    ids = torch.tensor([[BOS, 5, *PROMPT_POSE, 6, *ANSWER_POSE, 9, EOS, PAD]])
    answer = [30, 31, 32, 33, 34, 35, 20, 21]
    labels = torch.tensor([[-100] * 13 + [POSE_START, *answer, POSE_END, 9, EOS, -100]])
    expected = [-100] * 12 + [POSE_START, -100, *answer, 9, EOS, -100, -100]
    assert make_shift_labels(labels, ids, tiny_config()).tolist() == [expected]


def test_loss_is_that_of_two_loops():
    model = tiny_model()
    ids, labels, codes = training_batch()
    output = model(ids, labels=labels, attention_mask=(ids != PAD).long())
    log_probs, terms = output.logits.log_softmax(-1), []
    for row in range(2):
        for column in range(ids.shape[1]):
            token = ids[row, column]
            if token == POSE_QUERY:
                terms.append(-log_probs[row, column, labels[row, column]])
            elif column + 1 < ids.shape[1] and token != POSE_START and labels[row, column + 1] != -100:
                terms.append(-log_probs[row, column, labels[row, column + 1]])
    assert len(terms) == 3 * NUM_CODES + 6
    torch.testing.assert_close(output.loss, torch.stack(terms).mean())
    shifted = make_shift_labels(labels, ids, model.config)
    mask = (ids != PAD).long()
    torch.testing.assert_close(model(ids, shift_labels=shifted, attention_mask=mask).loss, output.loss)
    summed = model(ids, labels=labels, attention_mask=mask, num_items_in_batch=torch.tensor(10)).loss
    torch.testing.assert_close(summed, output.loss * len(terms) / 10)
    by_queries = model.forward_poses(ids, attention_mask=mask)
    torch.testing.assert_close(output.pose_logits, by_queries)
    assert by_queries.shape == (3, NUM_CODES, CODEBOOK)
    where = log_probs[ids == POSE_QUERY].unflatten(0, (3, NUM_CODES))
    picked = where.gather(-1, (codes + CODE_OFFSET)[..., None]).sum()
    by_hand = by_queries.gather(-1, codes[..., None])[..., 0] - output.logits.logsumexp(-1)[ids == POSE_QUERY].view(
        3, -1
    )
    torch.testing.assert_close(by_hand.sum(), picked)


def test_gradients_reach_what_is_trained():
    model = tiny_model(vision=CLIP, pose_vision=VITPOSE)
    ids, labels, _ = training_batch()
    images = torch.full((2, 16), IMAGE)
    ids = torch.cat([ids[:, :1], images, ids[:, 1:]], 1)
    labels = F.pad(labels, (16, 0), value=-100)
    model(ids, labels=labels, **views(model, 2)).loss.backward()
    inner = model.model
    for weight in (
        inner.pose_query_embeddings.weight,
        inner.multi_modal_projector.linear_1.weight,
        inner.multi_modal_projector.linear_2.weight,
        inner.get_input_embeddings().weight,
        model.lm_head.weight,
    ):
        assert weight.grad.abs().sum() > 0
    assert (inner.pose_query_embeddings.weight.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in inner.pose_tokenizer.parameters())


def test_gradient_checkpointing_changes_no_gradient():
    ids, labels, _ = training_batch()
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(ids, labels=labels).loss.backward()
        gradients.append(model.model.pose_query_embeddings.weight.grad)
    torch.testing.assert_close(*gradients)


# --- modes, precision, saving


def test_frozen_parts_stay_in_evaluation_mode():
    model = tiny_model(vision=CLIP, pose_vision=VITPOSE)
    model.model.vision_tower.requires_grad_(False)
    model.train()
    assert model.model.language_model.training and model.model.pose_vision_tower.training
    assert not model.model.vision_tower.training and not model.model.pose_tokenizer.training
    assert not any(module.training for module in model.model.vision_tower.modules())
    model.eval()
    assert not model.model.pose_vision_tower.training


@pytest.mark.parametrize("towers", [dict(vision=CLIP, pose_vision=VITPOSE), dict(pose_vision=BLAZEPOSE), {}])
def test_saved_is_loaded(tmp_path, towers):
    model = tiny_model(**towers)
    model.save_pretrained(tmp_path)
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.image_seq_length == model.config.image_seq_length
    for (name, old), new in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert old.equal(new), name
    inputs = {"input_ids": torch.tensor([[BOS, *[IMAGE] * (model.config.image_seq_length or 0), 5]])}
    inputs |= views(model, 1)
    assert model.generate_pose(**inputs).rotations.equal(loaded.generate_pose(**inputs).rotations)


@pytest.mark.parametrize("quantizer", ["ema", "fsq"])
def test_half_precision_spares_the_pose_tokenizer(tmp_path, quantizer):
    pose = dict(quantizer="fsq", fsq_levels=[4, 4], code_dim=2) if quantizer == "fsq" else {}
    model = tiny_model(vision=CLIP, pose_vision=BLAZEPOSE, pose=pose)
    model.save_pretrained(tmp_path)
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    moved = UniPoseForConditionalGeneration.from_pretrained(tmp_path).bfloat16()
    rotations, pictures = random_rotations(20), views(model, 1)
    codes = model.get_pose_codes(rotations)
    ids = torch.tensor([[BOS, *[IMAGE] * model.config.image_seq_length, 5]])
    for half in (loaded, moved):
        assert half.lm_head.weight.dtype == half.model.vision_tower.dtype == torch.bfloat16
        for kept in (half.model.pose_tokenizer, half.model.pose_vision_tower):
            assert {x.dtype for x in kept.state_dict().values()} <= {torch.float32, torch.bool}
        assert half.get_pose_codes(rotations).equal(codes)
        answer = half.generate_pose(ids, **pictures)
        assert answer.rotations.dtype == answer.probabilities.dtype == torch.float32
        again = half.model.pose_tokenizer.decode(answer.codes).rotations
        assert again.equal(answer.rotations)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.get_pose_codes(rotations).equal(codes)


def test_new_tokens_can_be_added_and_embeddings_tied(tmp_path):
    model = tiny_model(tie_word_embeddings=True)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.resize_token_embeddings(tiny.VOCAB + 7)
    assert model.config.text_config.vocab_size == tiny.VOCAB + 7 == model(torch.tensor([[BOS, 5]])).logits.shape[-1]
    model.save_pretrained(tmp_path)
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    assert loaded.lm_head.weight.equal(model.lm_head.weight)


def test_without_poses_it_is_its_language_model():
    """Text alone passes through exactly as in the causal language model of the same weights."""
    model = tiny_model("qwen2")
    plain = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    plain.model.load_state_dict(model.model.language_model.state_dict())
    plain.lm_head.load_state_dict(model.lm_head.state_dict())
    ids = torch.randint(3, CODE_OFFSET, (2, 9))
    assert model(ids).logits.equal(plain(ids).logits)
    base = model.base_model(input_ids=ids, mm_token_type_ids=torch.zeros_like(ids)).last_hidden_state
    assert base.equal(plain.model(ids).last_hidden_state)


def test_ids_and_embeddings_exclude_each_other():
    with pytest.raises(ValueError, match="not both"):
        tiny_model()(torch.tensor([[BOS]]), inputs_embeds=torch.zeros(1, 1, 32))
    for call in (tiny_model(), tiny_model().generate):
        with pytest.raises(ValueError, match="need input_ids"):
            call(inputs_embeds=torch.zeros(1, 3, 32), pose_values=random_rotations(1))


# --- what users of transformers expect


@pytest.mark.parametrize("pose_vision", [BLAZEPOSE, VITPOSE])
def test_every_attention_implementation_can_be_asked_for(tmp_path, pose_vision):
    """An encoder that does not know one (ViTPose, flex attention) or has none (BlazePose) is no obstacle."""
    tiny_model(pose_vision=pose_vision).save_pretrained(tmp_path)
    for attention in ("eager", "flex_attention", "sdpa"):
        model = UniPoseForConditionalGeneration.from_pretrained(tmp_path, attn_implementation=attention)
        changed = UniPoseForConditionalGeneration.from_pretrained(tmp_path)
        changed.set_attn_implementation(attention)
        knows = pose_vision is BLAZEPOSE or attention != "flex_attention"
        for one in (model, changed):
            assert one.model.language_model.config._attn_implementation == attention
            assert one.model.pose_vision_tower.config._attn_implementation == (attention if knows else "sdpa")
    changed.set_attn_implementation({"text_config": "eager"})
    assert changed.model.language_model.config._attn_implementation == "eager"
    assert changed.model.pose_vision_tower.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="not supported"):
        model.set_attn_implementation("none such")


@torch.no_grad()
@pytest.mark.parametrize("by_config", [False, True])
def test_tuples_instead_of_outputs(by_config):
    model = tiny_model(vision=CLIP, pose_vision=BLAZEPOSE)
    ids = torch.tensor([[BOS, *[IMAGE] * model.config.image_seq_length, *ANSWER_POSE]])
    pictures, options = views(model, 1), {} if by_config else {"return_dict": False}
    expected = model(ids, labels=ids, **pictures), model.model(ids, **pictures), model.get_image_features(**pictures)
    answer = model.generate_pose(ids[:, : -len(ANSWER_POSE)], **pictures)
    model.config.return_dict = not by_config
    found = (
        model(ids, labels=ids, **pictures, **options),
        model.model(ids, **pictures, **options),
        model.get_image_features(**pictures, **options),
    )
    for one, output in zip(found, expected, strict=True):
        assert type(one) is tuple and len(one) == len(output)
        assert all(torch.equal(a, b) for a, b in zip(one, output.to_tuple(), strict=True) if torch.is_tensor(a))
    again = model.generate_pose(ids[:, : -len(ANSWER_POSE)], **pictures)
    assert again.rotations.equal(answer.rotations)
    assert model.generate(ids[:, : -len(ANSWER_POSE)], max_new_tokens=3, **pictures).shape[1] > ids.shape[1] - 10


def test_no_queries_no_pose_logits():
    model, text = tiny_model(), torch.tensor([[BOS, 5, 6]])
    assert model(text, labels=text).pose_logits is None and model(text).pose_logits is None
    asked = torch.tensor([[BOS, *ANSWER_POSE]])
    assert model(asked, labels=asked).pose_logits.shape == (1, NUM_CODES, CODEBOOK)
