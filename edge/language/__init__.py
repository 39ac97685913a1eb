"""What is said about a face, and whether it holds: policy, verifier, verdict."""
