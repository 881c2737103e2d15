"""What runs without a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from abyssal.config.types import BUNDLED_MODEL, Config, DeepSeekUpstream, EngineUpstream, Model, Target
from abyssal.config.values import as_secret, check_base_url

# The names that the specification promises; each is only an entry of the model table.
CHAT_NAMES = (
    "deepseek-chat",
    "deepseek-code",
    "deepseek-doc",
    "deepseek-math",
    "deepseek-v3",
    "deepseek-v3-openai",
    "deepseek-reasoner",
    "deepseek-chat-7b",
    "deepseek-zh-7b",
    "deepseek-flash",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
)
EMBEDDING_NAME = "deepseek-embedding"
"""What the engine embeds under; the official service has no embeddings."""
_OFFICIAL = {"deepseek-v4-pro": "deepseek-v4-pro"}  # every other name is answered by flash


def default_config(environ: Mapping[str, str], *, model: str = BUNDLED_MODEL) -> Config:
    """What runs without a file: the embedded engine, and the official service when its key is known.

    `model` is what the engine loads: the bundled model's name or the path of a GGUF file.
    """
    engine = EngineUpstream(name="engine", model=model)
    local = Target(upstream="engine", model=BUNDLED_MODEL if model == BUNDLED_MODEL else Path(model).stem)
    own_name = local.model
    key = environ.get("DEEPSEEK_API_KEY", "").strip()
    if not key:
        names = dict.fromkeys((own_name, *CHAT_NAMES, EMBEDDING_NAME))
        models = tuple(Model(name=name, targets=(local,), owned_by="abyssal") for name in names)
        return Config(upstreams=(engine,), models=models)
    base_url = environ.get("DEEPSEEK_BASE_URL", "") or "https://api.deepseek.com"
    check_base_url(base_url, "DEEPSEEK_BASE_URL")
    cloud = DeepSeekUpstream(name="deepseek", api_key=as_secret(key, "DEEPSEEK_API_KEY"), base_url=base_url)
    models = [Model(name=own_name, targets=(local,), owned_by="abyssal")]
    for name in CHAT_NAMES:
        official = _OFFICIAL.get(name, "deepseek-flash")
        models.append(Model(name=name, targets=(Target(upstream="deepseek", model=official),)))
    models.append(Model(name=EMBEDDING_NAME, targets=(local,), owned_by="abyssal"))
    return Config(upstreams=(cloud, engine), models=tuple(models))
