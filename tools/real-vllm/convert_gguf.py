"""Turns a quantised GGUF file into a plain safetensors model that vLLM serves.

Usage: convert_gguf.py DIRECTORY GGUF_FILE DESTINATION
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(directory, gguf_file, destination):
    tokenizer = AutoTokenizer.from_pretrained(directory, gguf_file=gguf_file)
    model = AutoModelForCausalLM.from_pretrained(directory, gguf_file=gguf_file, dtype=torch.bfloat16)
    # The weights are plain numbers by now, but the marks of quantisation would make the copy unreadable.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(destination)
    tokenizer.save_pretrained(destination)


main(*sys.argv[1:])
