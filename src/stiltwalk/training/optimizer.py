"""The optimizer and the learning-rate schedule."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_linear_schedule_with_warmup

from stiltwalk.models.architecture import undecayed_parameters
from stiltwalk.training.settings import Settings


def make_optimizer(model: nn.Module, settings: Settings, steps: int) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Return AdamW, without decay of biases and norms, and a schedule of linear warm-up and linear decay.

    steps: the number of optimizer steps; the schedule is advanced once after each.
    """
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    undecayed = undecayed_parameters(model)
    decayed = [weight for name, weight in trained if name not in undecayed]
    others = [weight for name, weight in trained if name in undecayed]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    return optimizer, get_linear_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)
