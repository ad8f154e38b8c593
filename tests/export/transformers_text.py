"""Prints the text with which an exported hybrid continues a prompt greedily in transformers.

transformers_text.py DIRECTORY PROMPT NUMBER_OF_TOKENS
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

directory, prompt, num_tokens = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, dtype=torch.float32)
inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
output = model.generate(**inputs, do_sample=False, max_new_tokens=int(num_tokens), pad_token_id=0)
num_prompt_tokens = inputs["input_ids"].shape[1]
# The text of a token may depend on the token before it.
text, prefix = (
    tokenizer.decode(ids, skip_special_tokens=True) for ids in (output[0], output[0, :num_prompt_tokens])
)
print(text.removeprefix(prefix))
