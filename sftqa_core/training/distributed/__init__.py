"""One fine-tuning on several GPUs: the processes (group), what each does (process), and their trainer (trainer)."""
