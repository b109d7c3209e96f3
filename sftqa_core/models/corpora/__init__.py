"""What models of the hub were trained on, and a public service that counts texts in it."""
