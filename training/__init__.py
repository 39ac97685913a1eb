"""Training: the face finder, the encoder, the policy and the verifier. Needs the `training` extra; never shipped."""
