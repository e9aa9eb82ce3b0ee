"""Made-up heads with tumours, to train and to test on."""

from minicube.phantom.dataset import write_phantoms
from minicube.phantom.generator import Family, PhantomSpec, make_phantom

__all__ = ["Family", "PhantomSpec", "make_phantom", "write_phantoms"]
