"""What tuning changed inside a model (METHOD sections 5 and 10): where its answers drifted to, which weights moved and what putting them
back does, what it knows without saying it, and how facts were learned step by step."""
