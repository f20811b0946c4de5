"""What in a clip an answer rests on: saliency of landmarks, activation maps, attention rollout; and their pictures.

    explanation = explain("hello.pose")
    draw_explanation(explanation, "hello.png")
"""

from slt_hf.explanation.explaining import Explanation, explain
from slt_hf.explanation.pictures import draw_explanation

__all__ = ["Explanation", "draw_explanation", "explain"]
