"""Hypothesis strategies for matches, and for messages that they may or may not match."""

from __future__ import annotations

from hypothesis import strategies as st

matches = st.recursive(
    st.one_of(
        st.builds(
            lambda field, value: {"field": field, "equals": value},
            st.sampled_from(["kind", "a", "a.b"]),
            st.sampled_from(["x", "y", 1, True, None]),
        ),
        st.builds(
            lambda values: {"field": "kind", "one_of": values},
            st.lists(st.sampled_from(["x", "y", "z", 1]), min_size=1, max_size=3),
        ),
        st.builds(
            lambda field, exists: {"field": field, "exists": exists},
            st.sampled_from(["kind", "a", "a.b"]),
            st.booleans(),
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
        inner.map(lambda each: {"not": each}),
    ),
    max_leaves=4,
)
messages: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["x", "y", "z", "w", 1, True, None, [], {}]),
        "a": st.sampled_from(["x", 1, None, {}, {"b": "x"}, {"b": 1}]),
    },
)
