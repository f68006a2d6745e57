"""The old server: Django, REST framework, SimpleJWT and Channels on daphne, with scripted agents.

A Django project and its one app in one package, independent of the proxy (neither imports the
other). `options` says what can be set, `settings` turns that into Django's settings; `accounts`
and `jobs` are the REST side, `consumers` the WebSocket side; `orchestrator` plays `script` for a
job and sends `frames` to everybody who watches it. `__main__` migrates the database and serves.
"""
