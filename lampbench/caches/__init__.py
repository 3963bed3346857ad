"""What models have computed once: the LLM's answers and the embeddings of items."""
