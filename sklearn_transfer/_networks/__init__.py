"""Networks: their sources, their description, and the engines that run them."""
