"""ssdbench: a declarative benchmark harness for Self Step-Distillation of diffusion models."""

__version__ = "0.1.0"
