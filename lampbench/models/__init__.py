"""The frozen LLM, the text encoder and adapters: text and vectors in, text, losses and vectors out."""
