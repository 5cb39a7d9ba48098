"""What is made of the evidence: each function judges one check, and touches nothing."""
