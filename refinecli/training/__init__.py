"""Train a model on exported data: between GGUF and Hugging Face, with TRL's own command.

What needs torch runs in a child process, as a script that imports nothing of refinecli:
`to_hugging_face`, `to_gguf`, `run_trl`.
"""
