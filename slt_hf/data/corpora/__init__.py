"""Every corpus by name. Adding one: a file here, a line below, a section in docs/data.md, a test on a few real rows."""

from slt_hf.data.corpora.asl_citizen import ASLCitizen
from slt_hf.data.corpora.corpus import Annotations, Corpus
from slt_hf.data.corpora.folder import FolderCorpus
from slt_hf.data.corpora.how2sign import How2Sign
from slt_hf.data.corpora.include import INCLUDE
from slt_hf.data.corpora.isign import ISign
from slt_hf.data.corpora.manifest import ManifestCorpus
from slt_hf.data.corpora.msasl import MSASL
from slt_hf.data.corpora.phoenix14t import Phoenix14T
from slt_hf.data.corpora.wlasl import WLASL
from slt_hf.errors import CorpusError

CORPORA: dict[str, Corpus] = {
    "wlasl": WLASL(),
    "asl_citizen": ASLCitizen(),
    "isign": ISign(),
    "how2sign": How2Sign(),
    "phoenix14t": Phoenix14T(),
    "msasl": MSASL(),
    "include": INCLUDE(),
    "manifest": ManifestCorpus(),
    "folder": FolderCorpus(),
}

__all__ = ["CORPORA", "Annotations", "Corpus", "get_corpus"]


def get_corpus(name: str) -> Corpus:
    """The corpus of that name; CorpusError lists the names there are."""
    try:
        return CORPORA[name]
    except KeyError:
        raise CorpusError(
            f"expected a corpus among {', '.join(CORPORA)}, found {name!r}; use folder or manifest for your own"
        ) from None
