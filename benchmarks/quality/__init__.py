"""How right the readings are: recognition, explanations, verdicts, finding, and what harms them."""
