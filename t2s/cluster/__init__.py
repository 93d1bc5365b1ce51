"""Everything that imports ray: launching the real driver, the pool of engines, and submission to a cluster."""
