"""How fast the networks are, what each optimisation is worth, and where the floors lie."""
