"""Work in the background: a queue (store), a light worker that starts one process a job, and one lease a device.

`executor` hands work over, `reading` tells how it stands; nothing here imports torch.
"""
