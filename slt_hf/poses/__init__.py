"""Poses: videos read by time, landmarks found in them, and every format that poses are kept in."""
