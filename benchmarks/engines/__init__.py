"""The hub on real engines, beside the other Python layers on the same ones: `python -m benchmarks --only engines`.

places     the engines: started fresh, in a folder of their own
layers     who is compared: each opens on a URL, publishes, and hands out subscriptions
events     what is published, and the account of what came
rates      a process that publishes as fast as it can
publisher  a process that publishes to a reader in another
reader     that reader: one process with many subscriptions
worker     the parent's handle of these processes
scenarios  what is measured with them
"""
