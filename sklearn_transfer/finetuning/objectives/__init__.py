"""Terms of the loss that a network is trained on."""
