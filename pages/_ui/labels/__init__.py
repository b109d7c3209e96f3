"""What a person says about runs and studies, and deleting them."""
