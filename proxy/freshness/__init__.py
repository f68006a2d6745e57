"""For how long an answer may be given again: until the server says that its resource has changed.

Pure: what messages call a resource, which WebSockets bring them, and the generations that decide.
"""
