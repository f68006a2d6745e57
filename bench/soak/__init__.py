"""A soak: minutes of mixed traffic through a real `segue run`, and then every account must balance.

`python -m bench.soak` runs it. Both ends of every connection are in this process, raw bytes on
asyncio's streams, so that what the one sent and the other got can be counted and compared with what
`/metrics` says came in between.
"""
