"""What all our trainers share: batches by frames, layer-wise learning rates, freezing on a schedule, epochs of data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from slt_hf.data.sampler import FrameBudgetBatchSampler
from slt_hf.errors import RecipeError
from slt_hf.model_card import write_card
from slt_hf.training.arguments import ModelArguments, mapping

LAYER = re.compile(r"^(.*?)\b(?:layers|layer|block|h)\.(\d+)\.")
ENCODER_PARTS = ("encoder.", "projector.", "hand_crops.", "videomae.", "i3d.")
HAND_CROP_GATE = "hand_crops.gate"


class EpochDataLoader(DataLoader):
    """A loader over `FrameBudgetBatchSampler`, which deals out the ranks' batches itself."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


class SignTrainerMixin(Trainer):
    """Put before a transformers Trainer.

    Args:
        model_arguments: learning-rate and freezing options; nothing special without them.
        frames_per_batch: padded frames in a batch of one rank; `per_device_train_batch_size` clips without it.
        eval_collator: collator without augmentation, for evaluation; `data_collator` without it.
    """

    def __init__(
        self,
        *args: Any,
        model_arguments: ModelArguments | None = None,
        frames_per_batch: int | None = None,
        eval_collator: Any = None,
        **kwargs: Any,
    ) -> None:
        self.eval_collator = eval_collator
        self.model_arguments = model_arguments or ModelArguments()
        self.frames_per_batch = frames_per_batch
        super().__init__(*args, **kwargs)
        refuse_half_precision(self.model, self.args)
        if self.is_fsdp_enabled:
            refuse_adapters(self.model_arguments)
            join_tied_embeddings(self.model)
        if self.is_deepspeed_enabled:
            refuse_thawing(self.model_arguments)
        if self.args.dataloader_persistent_workers:
            raise RecipeError(
                "dataloader_persistent_workers: expected false, found true; workers that outlive an epoch would repeat "
                "its augmentation, so remove the option"
            )
        self.add_callback(EpochCallback())
        if self.model_arguments.freeze or self.model_arguments.unfreeze_at_epoch:
            thawing = mapping(self.model_arguments.unfreeze_at_epoch)
            exchanged = self.args.world_size > 1 and not self.is_fsdp_enabled
            freezing = FreezingCallback(self.model_arguments.freeze or [], thawing, exchanged)
            freezing.apply(self.model, epoch=0)
            self.add_callback(freezing)

    def get_train_dataloader(self) -> DataLoader:
        """Batches by frames where that was asked for, else the Trainer's own.

        The sampler knows rank and world size, so accelerate must not deal its batches out a second time: the loader
        is handed over as it is, and the Trainer moves tensors to the device.
        """
        if self.frames_per_batch is None:
            return super().get_train_dataloader()
        sampler = FrameBudgetBatchSampler(
            self.train_dataset.lengths,
            max_frames=self.frames_per_batch,
            seed=self.args.seed if self.args.data_seed is None else self.args.data_seed,
            rank=self.args.process_index,
            world_size=self.args.world_size,
        )
        return EpochDataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        with self.collating_for_evaluation():
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:
        with self.collating_for_evaluation():
            return super().get_test_dataloader(test_dataset)

    @contextmanager
    def collating_for_evaluation(self) -> Iterator[None]:
        """Loaders built inside get the collator that augments nothing and cuts nothing, and leave no clip out.

        The Trainer drops a last, smaller batch of evaluation too where training does, and all of a small split with it.
        """
        training: Any = self.data_collator  # type: ignore[has-type]
        drop_last = self.args.dataloader_drop_last
        self.data_collator, self.args.dataloader_drop_last = self.eval_collator or training, False
        try:
            yield
        finally:
            self.data_collator, self.args.dataloader_drop_last = training, drop_last

    def finish(self) -> None:
        """Save the result where recipes and users look for it, and publish it if the recipe says so."""
        if self.is_fsdp_enabled:
            self.save_gathered()
        else:
            self.save_model()
        self.save_state()
        self.create_model_card()
        if self.args.push_to_hub:
            self.push_to_hub(commit_message="Training finished")

    def save_gathered(self) -> None:
        """Save weights that lie in shards over the ranks: of these the Trainer writes no file that loads anywhere else.

        They go into a model of the plain class, since that of a sharded model brings torch's own files along.
        """
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        weights = get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        if self.is_world_process_zero():
            plain = type(self.model).__mro__[2](self.model.config)  # behind FSDPName and FSDPModule
            plain.load_state_dict(weights)
            plain.generation_config = self.model.generation_config
            plain.save_pretrained(self.args.output_dir)
            self.processing_class.save_pretrained(self.args.output_dir)
        self.accelerator.wait_for_everyone()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Our card, from `card.yaml` and the configs, in place of the Trainer's."""
        folder = Path(self.args.output_dir)
        if self.is_world_process_zero() and (folder / "card.yaml").is_file():
            write_card(folder, self.args.hub_model_id or folder.resolve().name)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer, with one group per learning rate and weight decay."""
        if self.optimizer is None and self.needs_parameter_groups:  # type: ignore[has-type]
            module = self.model if model is None else model
            cls, options = self.get_optimizer_cls_and_kwargs(self.args, module)
            self.optimizer = cls(self.parameter_groups(module, options.pop("lr")), **options)
        return super().create_optimizer(model)

    @property
    def needs_parameter_groups(self) -> bool:
        """Layer-wise rates, a gate's own, or parameters that are frozen now and trained later (which the Trainer would
        leave out)."""
        a = self.model_arguments
        gated = any(name.endswith(HAND_CROP_GATE) for name, _ in self.model.named_parameters())
        return gated or a.layerwise_lr_decay != 1.0 or a.encoder_lr_multiplier != 1.0 or bool(a.unfreeze_at_epoch)

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Parameters by (learning rate, weight decay)."""
        decayed = {name for name in self.get_decay_parameter_names(model) if not name.endswith(HAND_CROP_GATE)}
        later = tuple(self.model_arguments.unfreeze_at_epoch or ())
        multipliers = learning_rate_multipliers(model, self.model_arguments)
        groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad or name.startswith(later or ("\0",)):
                decay = self.args.weight_decay if name in decayed else 0.0
                groups[learning_rate * multipliers[name], decay].append(parameter)
        return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def learning_rate_multipliers(model: nn.Module, arguments: ModelArguments) -> dict[str, float]:
    """For each parameter, its learning rate as a multiple of the recipe's.

    Layers are counted from the top of their own stack (sign encoder, text encoder, text decoder); what lies below a
    stack's first layer, such as embeddings, counts as one layer more.
    """
    depth: dict[str, int] = defaultdict(int)
    for name, _ in model.named_parameters():
        if match := LAYER.match(name):
            depth[match[1]] = max(depth[match[1]], int(match[2]) + 1)
    deepest = max(depth.values(), default=0)
    multipliers = {}
    for name, _ in model.named_parameters():
        match = LAYER.match(name)
        below_top = (
            depth[match[1]] - 1 - int(match[2]) if match else deepest if "embed" in name or "shared" in name else 0
        )
        stage = arguments.encoder_lr_multiplier if name.startswith(ENCODER_PARTS) else 1.0
        gate = arguments.hand_crop_gate_lr_multiplier if name.endswith(HAND_CROP_GATE) else 1.0
        multipliers[name] = stage * gate * arguments.layerwise_lr_decay**below_top
    return multipliers


def refuse_half_precision(model: nn.Module, args: Any) -> None:
    """T5-family models overflow in float16: their activations exceed 65504 (transformers keeps `wo` in float32)."""
    text_config = getattr(model.config, "text_config", None)
    model_type = getattr(text_config, "model_type", "")
    asked = args.fp16 or args.fp16_full_eval or args.mixed_precision == "fp16"  # the last by accelerate's config
    if asked and model_type in ("t5", "mt5", "umt5", "longt5"):
        raise RecipeError(
            f"fp16: expected bf16 or fp32 for a {model_type} text model, found fp16; its activations overflow float16 "
            "and the loss turns to NaN, so set bf16: true, or neither, here and in accelerate's mixed_precision"
        )


def refuse_adapters(arguments: ModelArguments) -> None:
    """Adapters are merged at the end, and weights in few bits dequantised: neither has been made to work on shards."""
    if arguments.lora_r:
        raise RecipeError(
            f"lora_r: expected 0 with FSDP, found {arguments.lora_r}; take scripts/accelerate/ddp.yaml, where each "
            "GPU holds the frozen weights, or train all weights"
        )


def refuse_thawing(arguments: ModelArguments) -> None:
    """DeepSpeed reduces the gradients of what is trained at the start, and of nothing that comes later."""
    if arguments.unfreeze_at_epoch:
        raise RecipeError(
            f"unfreeze_at_epoch: expected none with DeepSpeed, found {arguments.unfreeze_at_epoch}; take "
            "scripts/accelerate/ddp.yaml or fsdp2.yaml, or train in two runs, the second from the first's folder"
        )


def join_tied_embeddings(model: nn.Module) -> None:
    """One module where T5, BART and their kin have three with the same weight (shared, encoder's, decoder's).

    FSDP2 holds a weight in one group of modules, and accelerate puts only input and output embedding into it. Where the
    encoder's and decoder's scale what they look up, the one that is kept does so too; `shared` itself is never called.
    """
    weight = model.get_input_embeddings().weight  # type: ignore[operator]
    alike = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Embedding) and child.weight is weight
    ]
    kept = max((child for *_, child in alike), key=lambda child: type(child) is not nn.Embedding, default=None)
    for parent, name, _ in alike:
        setattr(parent, name, kept)


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is, since augmentation and synthetic samples are seeded by it."""

    def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any) -> None:
        dataset = getattr(train_dataloader, "dataset", None)
        if isinstance(dataset, torch.utils.data.Dataset) and hasattr(dataset, "set_epoch"):
            dataset.set_epoch(int((state.epoch or 0) + 1e-6))


class FreezingCallback(TrainerCallback):
    """Parameters whose names start with a frozen prefix are not trained, until their epoch comes.

    Args:
        frozen: prefixes never trained.
        unfreeze_at_epoch: prefix -> first epoch in which it is trained.
        exchanged: DDP averages gradients over ranks, of what was trainable when it wrapped the model and of nothing
            else. So what waits for its epoch stays trainable there, its gradient is zero, and the optimizer gets none.
    """

    def __init__(self, frozen: list[str], unfreeze_at_epoch: dict[str, int], exchanged: bool = False) -> None:
        self.frozen = tuple(prefix for prefix in frozen if prefix not in unfreeze_at_epoch)
        self.unfreeze_at_epoch = unfreeze_at_epoch
        self.exchanged = exchanged
        self.held: dict[str, nn.Parameter] | None = None  # what waits with a gradient of zero; None before `apply`

    def apply(self, model: nn.Module, epoch: int) -> None:
        """Make trainable what is trained in `epoch`, and nothing else of what the prefixes name."""
        parameters = dict(model.named_parameters())
        for prefix in (*self.frozen, *self.unfreeze_at_epoch):
            if not named(parameters, prefix):
                names = list(parameters)
                raise RecipeError(
                    f"freeze: no parameter starts with {prefix!r}; names look like {names[0]}, {names[-1]}"
                )
        for prefix in self.frozen:
            for parameter in named(parameters, prefix).values():
                parameter.requires_grad_(False)
        scheduled = {prefix: named(parameters, prefix) for prefix in self.unfreeze_at_epoch}
        if self.exchanged:
            self.hold(scheduled, epoch)
            return
        for prefix, first in self.unfreeze_at_epoch.items():
            for parameter in scheduled[prefix].values():
                parameter.requires_grad_(epoch >= int(first))

    def hold(self, scheduled: dict[str, dict[str, nn.Parameter]], epoch: int) -> None:
        """Zero the gradients of what waits for its epoch."""
        if self.held is None:
            for name, parameter in {name: p for own in scheduled.values() for name, p in own.items()}.items():
                parameter.register_hook(partial(self.unless_held, name))
        self.held = {}
        for prefix, first in self.unfreeze_at_epoch.items():
            if epoch < int(first):
                self.held |= scheduled[prefix]

    def unless_held(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of a parameter, zero while it waits."""
        return torch.zeros_like(gradient) if name in (self.held or {}) else gradient

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for parameter in (self.held or {}).values():
            parameter.grad = None  # with a zero, weight decay and Adam's averages would still move it

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, model: nn.Module | None = None, **kwargs: Any
    ) -> None:
        assert model is not None  # the Trainer always hands it over
        self.apply(model, int((state.epoch or 0) + 1e-6))


def named(parameters: dict[str, nn.Parameter], prefix: str) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in parameters.items() if name.startswith(prefix)}
