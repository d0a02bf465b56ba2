"""Gives each policy of a run to vLLM servers before they draw replies from it (`use_vllm`).

Before each step the adapter, or all weights where they are trained, is saved under the run's
folder, which the servers read too, and loaded by them under a name that no other policy has. The
policy before is unloaded and its folder removed. What the servers lack ends in an error, never in
replies of another policy.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from metaconf.config.blocks import Config
from metaconf.generation.sampler import Draw, Drawn, Sampling
from metaconf.generation.vllm_servers import KEY, VLLMServers, servers_at
from metaconf.training.checkpoints import saving

FOLDER = "policies"
"""Where under the run's folder a policy is that the servers read."""


def servers_of(config: Config, args: Any) -> VLLMServers | None:
    """The servers that the configuration names; None where the trainer draws itself. Raises
    UserError for what is no address, or no key in the environment."""
    if not config.trainer.get("use_vllm"):
        return None
    address, key = config.trainer["vllm_server_base_url"], os.environ.get(KEY, "").strip()
    # Other processes wait no longer than that for one whose servers do not answer.
    return servers_at(address, args.vllm_server_timeout, args.ddp_timeout, key)


class PolicyServers:
    """The servers, and the policy that they were given last ("" before the first)."""

    def __init__(self, servers: VLLMServers, run: Path):
        self.servers, self.folder = servers, run.resolve() / FOLDER
        self.name, self.base, self.adapter, self.process = "", servers.served(), True, 0

    def push(self, model: Any, accelerator: Any, step: int) -> None:
        """Have the servers hold `model` as it is now. Every process must call it; the main one
        saves and sends."""
        (token,) = broadcast_object_list([uuid.uuid4().hex[:8]])
        before, self.name = self.name, f"policy-{token}-{step}"
        self.process = accelerator.process_index
        self.adapter = hasattr(model, "merge_adapter")
        if accelerator.is_main_process:
            self._give(model)
            self._forget(before)
        accelerator.wait_for_everyone()

    def draw(self, draws: Sequence[Draw], how: Sampling) -> list[Drawn]:
        """The replies of the policy that was pushed last, as `sampler.draw` gives them."""
        policy = self.name if self.adapter else self.base
        # A server that was started anew has the base model's name too, and its first weights.
        return self.servers.draw(policy, draws, how, self.process, again=self.adapter)

    def _give(self, model: Any) -> None:
        target = self.folder / self.name
        with saving(self.folder.parent):
            model.save_pretrained(target)
        if self.adapter:
            self.servers.load_adapter(self.name, target)
        else:
            self.servers.reload_weights(target)

    def _forget(self, name: str) -> None:
        if name and self.adapter:
            self.servers.unload_adapter(name)
        if name:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """Within: the run. After it the servers keep none of its adapters, and the disk no copy."""
        try:
            yield
        finally:
            self._forget(self.name)
            shutil.rmtree(self.folder, ignore_errors=True)
