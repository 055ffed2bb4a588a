"""What the steps of the ctapipe chain share."""
