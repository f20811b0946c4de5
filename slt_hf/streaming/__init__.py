"""Live translation: landmarks in as they are seen, text out while the person signs."""

from slt_hf.streaming.classifier import StreamingClassifier
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.translator import StreamingTranslator

__all__ = ["StreamEvent", "StreamPolicy", "StreamingClassifier", "StreamingTranslator"]
