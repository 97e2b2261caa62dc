"""Claims of processes on what is missing in a folder, so that each vector is computed once.

A claim is a row of the file, with the number of the process that made it. It holds while that
process lives, which `liveness` tells, so a process that is killed blocks nobody.
"""

from sklearn_transfer._store import tables
from sklearn_transfer._store.base import Answer


def ask(connection, member, contexts, samples):
    """Answer for each missing sample whether another process computes it, without a claim."""
    claimed = _find_claimed(connection, member, contexts, samples)
    return [
        Answer.FREE if claimed.isdisjoint(_make_keys(contexts, sample)) else Answer.BUSY
        for sample in samples
    ]


def claim(connection, member, contexts, samples):
    """As `ask`, and claim for this process what is free; within a transaction."""
    answers = [
        Answer.OURS if answer is Answer.FREE else answer
        for answer in ask(connection, member, contexts, samples)
    ]
    ours = [s for s, answer in zip(samples, answers, strict=True) if answer is Answer.OURS]
    keys = [key for sample in ours for key in _make_keys(contexts, sample)]
    tables.insert_claims(connection, keys, member.number)
    return answers


def _find_claimed(connection, member, contexts, samples):
    """Keys that other living processes have claimed."""
    keys = [key for sample in samples for key in _make_keys(contexts, sample)]
    claims = tables.read_claims(connection, keys)
    others = {owner for _, owner in claims} - {member.number}
    alive = {owner for owner in others if member.is_alive(owner)}
    return {key for key, owner in claims if owner in alive}


def _make_keys(contexts, sample):
    return [context + sample for context in contexts]
