"""`make e2e`: brings the whole system up on a cluster, looks at it as its users do, breaks it, and looks again."""
