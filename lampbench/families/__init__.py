"""Bases that kin methods share: dense retrieval, tuning on the LLM's feedback, selection, soft prompts."""
