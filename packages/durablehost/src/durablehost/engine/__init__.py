"""The loops that move work over the two seams of `ports`: durable storage on one side, user code on the other."""
