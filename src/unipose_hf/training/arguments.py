# SPDX-License-Identifier: Apache-2.0
"""Arguments of the language-model stages, with the hyper-parameters of the paper (supplement table 3) as defaults."""

from dataclasses import dataclass, field

import torch

try:
    from trl import SFTConfig
except ImportError as error:
    raise ImportError("Training needs trl and peft: pip install unipose-hf[train]") from error

STAGES = ("alignment", "projector", "instruction", "reasoning")
# batch, learning rate and epochs of supplement table 3; the finetuning for reasoning (section D) is as instruction
PAPER = {stage: (8, 5e-5, 2) for stage in STAGES} | {"alignment": (24, 1.5e-4, 6)}
WARMUP_EPOCHS = 0.03


@dataclass
class UniPoseSFTConfig(SFTConfig):
    """
    [`trl.SFTConfig`] for the stages of UniPose. What it leaves unset is the paper's choice for the stage.

    Args:
        stage: `"alignment"` of poses and text: the language model, its new vocabulary rows and the pose queries;
            `"projector"`: that of the vision encoders alone; `"instruction"`: projector and language model;
            `"reasoning"`: the same again, on pictures of several people.
        per_device_train_batch_size, learning_rate, num_train_epochs: unset, the paper's: 24, 1.5e-4, 6 for alignment,
            else 8, 5e-5, 2. The paper's batch is that of all processes together.
        warmup_steps: unset, 0.03 epochs, the paper's.
        use_lora: train the linear layers of the language model through LoRA; else in full, as small models can be.
        lora_r, lora_alpha, lora_dropout: of LoRA.
        use_muon: Muon for linear layers instead of AdamW, see `training.experimental.muon`; not for sharded ones.
        table_learning_rate: beside Muon, the rate of what AdamW trains: rows of words and codes, the head. Unset, that
            of the linear layers. Rows of rare words see few samples and may take larger steps.
        joint_loss_weight, rotation_loss_weight, stated_loss_weight: weights of losses on the pose expected under the
            predicted codes, beside the paper's cross-entropy: for each metre of mean joint error, for the mean squared
            matrix entry, and for what the text states of the pose (`training.experimental.code_loss`). 0, the paper's
            choice, leaves a loss out.
        given_share: share of the answers of which some codes are given, so that poses can also be decoded in several
            steps; 0, the paper's choice, asks for all codes always. Only beside a loss on whole poses.
        reading_loss_weight: weight of a loss on how well the language model knows, within, where the joints of the
            prompt's poses and of the people in its pictures are and how they stand to each other
            (`training.experimental.reading_loss`), for each metre. 0, the paper's choice, leaves it out.
        truth_loss_weight: weight of a reward for what is true in texts that the model writes itself
            (`training.experimental.own_texts`), for a model that can write already. It takes batches of one task, as
            the open samples come; others go without. Not for sharded parameters. 0, the paper's choice, leaves it out.

    Raises:
        ValueError: no such stage.
    """

    stage: str = field(default="instruction", metadata={"help": "What to train.", "choices": list(STAGES)})
    per_device_train_batch_size: int | None = field(default=None, metadata={"help": "Unset: 24 or 8, as the paper's."})
    learning_rate: float | None = field(default=None, metadata={"help": "Unset: 1.5e-4 or 5e-5, as the paper's."})
    num_train_epochs: float | None = field(default=None, metadata={"help": "Unset: 6 or 2, as the paper's."})
    warmup_steps: float | None = field(default=None, metadata={"help": "Unset: 0.03 epochs, as the paper's."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Schedule of the learning rate."})
    use_lora: bool = field(default=True, metadata={"help": "LoRA on the language model instead of all its weights."})
    lora_r: int = field(default=64, metadata={"help": "Rank of LoRA."})
    lora_alpha: int = field(default=16, metadata={"help": "Scale of LoRA."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of LoRA."})
    use_muon: bool = field(default=False, metadata={"help": "Muon for the linear layers instead of AdamW."})
    table_learning_rate: float | None = field(default=None, metadata={"help": "Of embeddings and head, beside Muon."})
    joint_loss_weight: float = field(default=0.0, metadata={"help": "For each metre of mean joint error."})
    rotation_loss_weight: float = field(default=0.0, metadata={"help": "For the mean squared entry of rotations."})
    stated_loss_weight: float = field(default=0.0, metadata={"help": "For what the text states of the pose."})
    given_share: float = field(default=0.0, metadata={"help": "Share of answers of which some codes are given."})
    reading_loss_weight: float = field(default=0.0, metadata={"help": "For each metre that read joints are off."})
    truth_loss_weight: float = field(default=0.0, metadata={"help": "Of a reward for what its own texts say truly."})
    # what the collator needs: samples as they are, all columns, whole sequences
    remove_unused_columns: bool = field(default=False, metadata={"help": "Samples need all their columns."})
    max_length: int | None = field(default=None, metadata={"help": "Poses and images must not be cut."})
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={"help": "Batches of samples of like length, as `add_lengths` counts them."},
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints are kept."})

    def __post_init__(self):
        if self.stage not in STAGES:
            raise ValueError(f"There is no stage {self.stage!r}; choose one of {', '.join(STAGES)}.")
        batch, learning_rate, epochs = PAPER[self.stage]
        if self.per_device_train_batch_size is None:
            self.per_device_train_batch_size = batch
        if self.learning_rate is None:
            self.learning_rate = learning_rate
        if self.num_train_epochs is None:
            self.num_train_epochs = epochs
        if self.warmup_steps is None:
            self.warmup_steps = WARMUP_EPOCHS / self.num_train_epochs  # below 1: a share of all steps
        if not torch.accelerator.is_available():
            self.use_cpu = True  # without this word the libraries refuse bfloat16, their own default
        if self.dataset_kwargs is None:
            self.dataset_kwargs = {"skip_prepare_dataset": True}
        super().__post_init__()

    @property
    def pose_losses(self) -> bool:
        """Whether any loss on whole poses is asked for."""
        answers = self.joint_loss_weight, self.rotation_loss_weight, self.stated_loss_weight
        return max(*answers, self.reading_loss_weight, self.truth_loss_weight) > 0
