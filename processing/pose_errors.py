"""Errors about clips and landmarks. They travel with checkpoints; `slt_hf.errors` shows the whole tree."""


class SignDataError(ValueError):
    """Root of every error raised on purpose: expected, found, what to do."""


class PoseFileError(SignDataError):
    """A pose file that cannot be read; names the file and the place."""


class LandmarkError(SignDataError):
    """A landmark layout that is unknown or does not fit."""


class ClipError(SignDataError):
    """A clip that cannot be used: no frames, an absurd frame rate, nobody to see, an impossible time range."""


class VideoError(SignDataError):
    """A video that cannot be read, or asks for more than its budget."""
