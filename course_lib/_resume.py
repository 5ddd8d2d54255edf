"""The state of a training between two epochs, in a file, so that a stopped one can go on.

The file is PyTorch's, read with `weights_only`: it can hold tensors and numbers, but no code. It
appears in one step, under another name first, so that a stop leaves the epoch before.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.files import write_whole

State = dict[str, Tensor]


@dataclass
class TrainingState:
    """What a training is made of. `settings`: what must be the same for it to go on.

    path: None keeps nothing.
    """

    path: Path | None
    settings: Mapping[str, Any]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    order: torch.Generator

    def write(self, epochs: list[tuple[Any, ...]], best_epoch: int, best: State | None) -> None:
        """Keep the training as it is now; where that fails, warn, for training goes on."""
        if self.path is None:
            return
        state = {
            "settings": dict(self.settings),
            "epochs": epochs,
            "best_epoch": best_epoch,
            "best": best,
            "random": self._generators(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        memory = io.BytesIO()
        torch.save(state, memory)
        try:
            write_whole(self.path, memory.getbuffer())
        except OSError as error:
            warnings.warn(
                f"The state of the training cannot be written to {self.path} ({error.strerror}); "
                "it goes on, but could not be resumed from here.",
                RuntimeWarning,
                stacklevel=2,
            )

    def read(self) -> tuple[list[tuple[Any, ...]], int, State | None]:
        """Put everything to where the file left it; return what `write` was given.

        Without a file that is ([], 0, None). Raises ValueError for the file of another training
        and for one that cannot be read.
        """
        if self.path is None or not self.path.exists():
            return [], 0, None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            settings = state["settings"]
        except Exception as error:  # whatever damage does to the file
            raise ValueError(
                f"resume: {self.path} cannot be read ({type(error).__name__}). Remove it to begin "
                "the training anew."
            ) from error
        for name, value in self.settings.items():
            if settings.get(name) != value:
                raise ValueError(
                    f"resume: {self.path} is of a training with {name} {settings.get(name)!r}, "
                    f"this one has {value!r}. Go on with the same arguments, or name another file."
                )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.order.set_state(state["random"]["order"])
        torch.default_generator.set_state(state["random"]["cpu"])
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"])
        return state["epochs"], state["best_epoch"], state["best"]

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}

    def _generators(self) -> dict[str, Tensor]:
        states = {"order": self.order.get_state(), "cpu": torch.default_generator.get_state()}
        if any(parameter.is_cuda for parameter in self.model.parameters()):
            states["cuda"] = torch.cuda.get_rng_state()
        return states
