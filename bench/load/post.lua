-- What `wrk` sends for the load with large bodies: 1 MiB, which no response makes it build again.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("abcdefgh", 131072)
