"""Keeps clones of one snapshot from drawing the same random numbers."""

from .uniqueness import Uniqueness

__all__ = ["Uniqueness"]
