# SPDX-License-Identifier: Apache-2.0
"""A new model keeps the weights of its parts, and its new embeddings are well initialised."""

import runpy
import sys
from pathlib import Path

import torch
from transformers import (
    AutoBackbone,
    AutoConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from tiny import CLIP, CODEBOOK, VITPOSE, tiny_model, tiny_pose_config
from tiny_chat import tiny_model_and_processor, tiny_tokenizer
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor, task_messages
from unipose_hf.training.compose import compose, seed_new_rows

EXAMPLES = Path(__file__).parents[2] / "examples"


def text_only_tokenizer():
    """A fast tokenizer that knows nothing of poses, and has no padding token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", *"Make a pose : Raise the left arm .".split(), *map(chr, range(33, 127))]
    backend = Tokenizer(models.WordLevel({w: n for n, w in enumerate(dict.fromkeys(words))}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


def parts():
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    tokenizer = text_only_tokenizer()
    language_model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes))
    pose_tokenizer = PoseTokenizerModel(tiny_pose_config())
    pose_tokenizer.quantizer.codebook.normal_()
    clip = CLIPVisionModel(CLIPVisionConfig(**CLIP))
    vitpose = AutoBackbone.from_config(AutoConfig.for_model(**VITPOSE))
    return language_model, tokenizer, pose_tokenizer, clip, vitpose


def test_a_composed_model_keeps_its_parts_and_answers(tmp_path):
    language_model, tokenizer, pose_tokenizer, clip, vitpose = parts()
    words = language_model.get_input_embeddings().weight.detach().clone()
    image_processor = UniPoseImageProcessor(
        general_size=CLIP["image_size"], pose_size=VITPOSE["image_size"], pose_view="crop"
    )
    model, processor = compose(
        language_model, tokenizer, pose_tokenizer, vision=clip, pose_vision=vitpose, image_processor=image_processor
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = UniPoseForConditionalGeneration.from_pretrained(tmp_path).eval()
    processor = UniPoseProcessor.from_pretrained(tmp_path)
    assert torch.equal(model.get_input_embeddings().weight[: len(words)], words)
    assert torch.equal(model.lm_head.weight[: len(words)], words)
    for part, trained in (("pose_tokenizer", pose_tokenizer), ("vision_tower", clip), ("pose_vision_tower", vitpose)):
        state = getattr(model.model, part).state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in trained.state_dict().items()), part
    chat = [task_messages("text-to-pose", text="Raise the left arm.")]
    inputs = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, add_generation_prompt=True, processor_kwargs={"return_tensors": "pt"}
    )
    inputs.pop("mm_token_type_ids", None)
    assert model.generate_pose(**inputs).rotations.shape == (1, 22, 3, 3)
    chat = [task_messages("image-to-pose-text", images=[torch.zeros(3, 40, 30)])]
    inputs = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, add_generation_prompt=True, processor_kwargs={"return_tensors": "pt"}
    )
    assert model.generate(**inputs, max_new_tokens=2).shape[0] == 1


def test_the_example_composes_saved_parts(tmp_path, monkeypatch, capsys):
    language_model, tokenizer, pose_tokenizer, clip, vitpose = parts()
    folders = {}
    for name, part in (("language_model", language_model), ("pose_tokenizer", pose_tokenizer)):
        folders[name] = tmp_path / name
        part.save_pretrained(folders[name])
    tokenizer.save_pretrained(folders["language_model"])
    estimator = VitPoseForPoseEstimation(VitPoseConfig(backbone_config=vitpose.config, num_labels=17))
    for name, part in (("vision", clip), ("pose_vision", estimator)):
        folders[name] = tmp_path / name
        part.save_pretrained(folders[name])
    arguments = [text for name, folder in folders.items() for text in (f"--{name}", str(folder))]
    monkeypatch.setattr(sys, "argv", ["new_model.py", *arguments, "--output_dir", str(tmp_path / "new")])
    runpy.run_path(str(EXAMPLES / "train" / "new_model.py"), run_name="__main__")
    assert "million parameters" in capsys.readouterr().out
    model = UniPoseForConditionalGeneration.from_pretrained(tmp_path / "new")
    config, tower = model.config, model.model.pose_vision_tower
    assert all(torch.equal(a, b) for a, b in zip(tower.parameters(), estimator.backbone.parameters(), strict=True))
    assert config.image_seq_length == 16 and config.text_config.name_or_path == ""


def test_a_tokenizer_with_poses_is_left_as_it_is():
    model, _ = tiny_model_and_processor()
    language_model = LlamaForCausalLM(model.config.text_config)
    before = len(tiny_tokenizer())
    _, processor = compose(
        language_model, tiny_tokenizer(), model.model.pose_tokenizer, image_processor=UniPoseImageProcessor()
    )
    assert len(processor.tokenizer) == before and processor.codebook_size == CODEBOOK


def test_similar_codes_start_with_similar_rows():
    model, _ = tiny_model_and_processor()
    torch.manual_seed(0)
    codebook = model.model.pose_tokenizer.quantizer.codebook
    codebook.copy_(torch.linspace(-1, 1, len(codebook))[:, None])  # codes along a line
    seed_new_rows(model)
    first = model.config.pose_code_offset
    words, rows = model.get_input_embeddings().weight.detach().split([first, len(model.lm_head.weight) - first])
    rows = rows[: len(codebook)]
    near = torch.cdist(codebook, codebook) + 1e9 * torch.eye(len(codebook))
    alike = torch.nn.functional.cosine_similarity(rows, rows[near.argmin(1)]).mean()
    apart = torch.nn.functional.cosine_similarity(rows, rows[near.masked_fill(near > 1e8, -1).argmax(1)]).mean()
    assert alike > apart + 0.2 and 0.5 < rows.std() / words.std() < 2


@torch.no_grad()
def test_an_encoder_with_experts_for_data_sets_uses_that_of_coco():
    model = tiny_model(pose_vision=VITPOSE | {"num_experts": 2, "part_features": 8})
    pictures = torch.randn(2, 3, *VITPOSE["image_size"], generator=torch.Generator().manual_seed(0))
    experts = model.model.pose_vision_tower.encoder.layer[0].mlp.experts

    def features():
        return model.get_image_features(pose_pixel_values=pictures).last_hidden_state

    before = features()
    experts[1].weight.zero_()
    assert torch.equal(features(), before)
    experts[0].weight.zero_()
    assert not torch.equal(features(), before)
