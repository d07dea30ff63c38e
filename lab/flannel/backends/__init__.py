"""How packets travel between nodes, one module a backend; `base` says what each must offer."""
