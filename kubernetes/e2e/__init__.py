"""`make e2e`: brings the whole system up on a cluster, uses it as its users do, breaks it, and checks it again."""
