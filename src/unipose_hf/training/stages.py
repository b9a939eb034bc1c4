# SPDX-License-Identifier: Apache-2.0
"""One language-model stage from the command line: parse, load, train, save (UniPose section 3.4, supplement B.3).

Each stage starts from the complete model of the previous stage, including new vocabulary rows and queries, and saves a
complete model again, with adapters merged.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from trl import TrlParser

from unipose_hf.data.captured_poses import load_captured_poses
from unipose_hf.data.instructions import REASONING_TASKS
from unipose_hf.data.language.composer import Composer, load_described
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.files.write import open_to_umask
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.collator import add_pose_codes
from unipose_hf.training.experimental.image_bank import load_image_bank
from unipose_hf.training.open_samples import TASK_SHARES, open_samples
from unipose_hf.training.resuming import checkpoint_to_resume
from unipose_hf.training.row_samples import row_samples
from unipose_hf.training.trainer import UniPoseTrainer

BUNDLED = Path(__file__).parents[1] / "checkpoints" / "unipose-tiny"


@dataclass
class StageArguments:
    """
    Args:
        model: folder or Hub name of the model to start from; the bundled one by default.
        data: folders or Hub names of data sets made by `unipose build-data`, such as `runs/imagescript:A` for
            configuration `A`. By default, endless samples drawn from the open poses.
        image_bank: folder of rendered people for the open poses (`build_image_bank`); without it, they cover no tasks
            with images.
        templates: share of the open samples whose prompts use one of 200 wordings; built sets use these in all stages
            but the first two, as in the paper.
        tasks: tasks of the open samples; all tasks of the stage by default.
        plain: share of the open samples in plain English, from the language bank.
        open_data: optional folder with `language/` (described poses and pairs) and `mocap/` (additional captured
            poses) for the open samples.
        load_in_4bit: quantise the language model to 4 bits while training LoRA (QLoRA); needs bitsandbytes.
    """

    model: str = field(default=str(BUNDLED), metadata={"help": "Folder or Hub name of the model to start from."})
    data: list[str] | None = field(default=None, metadata={"help": "Built data sets; default: the open poses."})
    image_bank: str | None = field(default=None, metadata={"help": "Rendered people for the open poses."})
    templates: float = field(default=0.0, metadata={"help": "Share of open samples with one of 200 wordings."})
    tasks: list[str] | None = field(
        default=None, metadata={"help": "Tasks of open samples; default: those of the stage."}
    )
    plain: float = field(default=0.0, metadata={"help": "Share of open samples in plain English."})
    open_data: str | None = field(
        default=None, metadata={"help": "Folder with additional described and captured poses."}
    )
    load_in_4bit: bool = field(default=False, metadata={"help": "QLoRA: the language model in 4 bits."})


def run_stage(stage: str, arguments: list[str] | None = None) -> None:
    """Train a stage and save it in `--output_dir`.

    Resumes from the last checkpoint there, unless `--resume_from_checkpoint` says otherwise.

    Args:
        stage: one of `unipose_hf.training.arguments.STAGES`.
        arguments: command-line arguments, those of [`StageArguments`] and [`UniPoseSFTConfig`], or `--config
            FILE.yaml` with the same names; `sys.argv` by default.

    Raises:
        ValueError: a stage that needs images has no data with images.
    """
    parser = TrlParser((StageArguments, UniPoseSFTConfig))
    parser.set_defaults(stage=stage)
    script, args = parser.parse_args_and_config(arguments)
    model, processor = load_model(script)
    trainer = UniPoseTrainer(model, args, stage_samples(script, args, model), processor)
    trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
    trainer.save_state()  # with the log
    save_whole_model(trainer, script.model)
    if args.push_to_hub:
        trainer.push_to_hub()


def load_model(script: StageArguments) -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    """The model to start from, in float32 or, with `load_in_4bit`, its language model in 4 bits; and its processor."""
    options = {}
    if script.load_in_4bit:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = UniPoseForConditionalGeneration.from_pretrained(script.model, **options)
    return model, UniPoseProcessor.from_pretrained(script.model)


def stage_samples(script: StageArguments, args: UniPoseSFTConfig, model: UniPoseForConditionalGeneration) -> Dataset:
    """The training samples of a stage, a `datasets.Dataset`.

    Raises:
        ValueError: the stage needs images and there are none, or the open poses are used without `max_steps`.
    """
    if script.data:
        samples = row_samples(
            script.data,
            tasks=stage_tasks(args.stage),
            reasoning=args.stage == "reasoning",
            pretraining=args.stage in ("alignment", "projector"),
            seed=args.seed,
        )
        return add_pose_codes(samples, model.model.pose_tokenizer)
    images = load_image_bank(script.image_bank, model.model.pose_vision_tower) if script.image_bank else None
    shares = TASK_SHARES.get(args.stage, {})
    if script.tasks:
        shares = {task: share for task, share in shares.items() if task in script.tasks}
    if images is None:
        shares = {task: share for task, share in shares.items() if not TASKS[task].images}
    if not shares:
        remedy = "--data with a built set" + " or --image_bank" * (args.stage != "reasoning")
        raise ValueError(f"The stage {args.stage!r} needs images, but there are none; give {remedy}.")
    if args.max_steps <= 0:
        raise ValueError("Samples of the open poses are endless; set the number of steps with --max_steps.")
    args.train_sampling_strategy = "sequential"  # they come in blocks of one task
    rows = args.train_batch_size * args.world_size
    captured = load_captured_poses(Path(script.open_data) / "mocap") if script.open_data else None
    return open_samples(
        args.max_steps * args.gradient_accumulation_steps * rows,
        shares,
        model.model.pose_tokenizer,
        images=images,
        block=rows,
        seed=args.seed,
        templates=script.templates,
        poses=131_072 if captured is None else 16_384,
        composer=plain_composer(script.open_data, captured) if script.plain else None,
        plain=script.plain,
        captured=captured,
    )


def plain_composer(open_data: str | None, captured: torch.Tensor | None) -> Composer:
    """The composer of plain-English samples, with the described poses of a folder if one is given."""
    if open_data is None:
        return Composer(load_open_poses("train").axis_angle)
    folder = Path(open_data) / "language"
    return Composer(captured, load_described(folder, "poses"), load_described(folder, "pairs"))


def stage_tasks(stage: str) -> tuple[str, ...]:
    """The tasks of a stage (supplement table 1)."""
    return REASONING_TASKS if stage == "reasoning" else tuple(TASK_SHARES[stage])


def save_whole_model(trainer: UniPoseTrainer, base: str) -> None:
    """Save model and processor to the trainer's output folder, with adapters merged, for the next stage.

    Args:
        base: where the model was loaded from. If it is quantised to 4 bits or sharded, it is loaded again in full, and
            the adapter, which is kept in `adapter/`, is merged into it.
    """
    folder, is_main_process = Path(trainer.args.output_dir), trainer.args.should_save
    model = trainer.accelerator.unwrap_model(trainer.model)
    vars(trainer.model.config).pop("use_cache", None)  # set by the trainer; it must not affect inference
    is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if isinstance(model, PeftModel) and (is_sharded or getattr(model, "is_loaded_in_4bit", False)):
        trainer.save_model(str(folder / "adapter"))  # on all processes: each contributes its shard
        if is_main_process:
            whole = UniPoseForConditionalGeneration.from_pretrained(base)
            PeftModel.from_pretrained(whole, folder / "adapter").merge_and_unload().save_pretrained(folder)
    elif is_sharded:
        trainer.save_model(str(folder))
    elif is_main_process:
        (model.merge_and_unload() if isinstance(model, PeftModel) else model).save_pretrained(folder)
    if is_main_process:
        trainer.processing_class.save_pretrained(folder)
        open_to_umask(folder)
