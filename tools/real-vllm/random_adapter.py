"""Writes a LoRA adapter of random numbers for a model: what it makes of the model is noise, and the same every time.

Usage: random_adapter.py MODEL_DIRECTORY DESTINATION
"""

import json
import os
import sys

import numpy
from safetensors.numpy import save_file

RANK = 4


def main(model, destination):
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)
    random = numpy.random.default_rng(1)
    inputs = config["hidden_size"]
    outputs = config["num_attention_heads"] * config["head_dim"]
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        for part, shape in [("lora_A", (RANK, inputs)), ("lora_B", (outputs, RANK))]:
            tensors[f"{name}.{part}.weight"] = random.standard_normal(shape, dtype=numpy.float32)
    os.makedirs(destination)
    save_file(tensors, os.path.join(destination, "adapter_model.safetensors"))
    description = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"], "bias": "none"}
    with open(os.path.join(destination, "adapter_config.json"), "w") as file:
        json.dump(description, file)


main(*sys.argv[1:])
