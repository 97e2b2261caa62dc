"""Penalty on the distance of the weights from where they started."""

from sklearn_transfer.finetuning.objectives.base import Objective


class L2SP(Objective):
    """Half of `strength` times the squared distance of a body from its start [Li 2018].

    Parameters
    ----------
    body : Module
        Network without head. Only its parameters that train are counted.
    strength : float
        Factor of the penalty.
    start : dict of str to Tensor
        Parameters of the body to which it is pulled, by name.
    """

    def __init__(self, body, strength, start):
        self.body, self.strength, self.start = body, strength, start

    def loss(self, step):
        """The penalty, which does not depend on the batch."""
        moving = [
            (parameter, self.start[name])
            for name, parameter in self.body.named_parameters()
            if parameter.requires_grad
        ]
        squares = sum(((parameter - origin) ** 2).sum() for parameter, origin in moving)
        return 0.5 * self.strength * squares


def copy_parameters(body):
    """Copies of the parameters of a module, by name."""
    return {name: tensor.detach().clone() for name, tensor in body.named_parameters()}
