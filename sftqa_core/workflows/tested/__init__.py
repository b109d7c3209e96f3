"""Tested models, that is finished runs and finished cells of studies: listing them, comparing them, making them again, looking inside them,
and what each says of one fact."""
