"""Prints the greedy text after a prompt from a server twice: whole, and as the pieces of a stream.

Usage: openai_client.py BASE_URL MODEL PROMPT MAX_TOKENS
"""

import sys

from openai import OpenAI

base_url, model, prompt, max_tokens = sys.argv[1:]
client = OpenAI(base_url=base_url, api_key="none", max_retries=0)
assert [entry.id for entry in client.models.list()] == [model]
settings = {"model": model, "prompt": prompt, "max_tokens": int(max_tokens), "temperature": 0}
print(client.completions.create(**settings).choices[0].text)
chunks = client.completions.create(**settings, stream=True, stream_options={"include_usage": True})
usage = None
for chunk in chunks:
    usage = chunk.usage
    for choice in chunk.choices:
        print(choice.text, end="")
print()
assert usage.completion_tokens == int(max_tokens), usage
