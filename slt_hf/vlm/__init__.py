"""Vision-language models: frames of a clip as a chat turn, the answer as its translation or its gloss."""
