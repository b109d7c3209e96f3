"""One fine-tuning on several GPUs: what starts the processes (group), and what each of them does (process)."""
