"""The third act: a rule towards the server, an HTTP body, a token that is renewed."""
