"""Hypothesis strategies for JSON as it is written, not as it is understood."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

spaces = st.text(" \t\r\n", max_size=2)

strings = st.lists(
    st.one_of(
        st.text(
            st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), max_size=4
        ),
        st.sampled_from([r"\"", r"\\", r"\/", r"\n", r"\u0041", r"\u00e9", r"\u00E9"]),
        st.sampled_from([r"\ud83d\ude00", r"\u0000", ":", ",", "}", "]", "\x7f"]),
    ),
    max_size=3,
).map(lambda parts: '"' + "".join(parts) + '"')

odd_strings = st.sampled_from([r'"\ud800"', r'"\udc00x"', r'"\ude00\ud83d"', r'"a\ud800\u0041"'])

numbers = st.one_of(
    st.integers().map(str),
    st.sampled_from(["-0", "0", "1.10", "1E2", "1e+400", "-0.0", "1e-7", "123456789012345678901"]),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?\Z"),
)

odd_scalars = st.one_of(odd_strings, st.sampled_from(["NaN", "Infinity", "-Infinity"]))
scalars = st.one_of(strings, numbers, st.sampled_from(["true", "false", "null"]))


def _containers(
    keys: st.SearchStrategy[str],
) -> Callable[[st.SearchStrategy[str]], st.SearchStrategy[str]]:
    def build(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        array = st.lists(st.tuples(spaces, inner, spaces).map("".join), max_size=4).map(
            lambda elements: "[" + ",".join(elements) + "]"
        )
        return array | objects(keys, inner)

    return build


def objects(keys: st.SearchStrategy[str], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(spaces, keys, spaces, st.just(":"), spaces, inner, spaces).map("".join)
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


# What RFC 8259 allows and every parser takes.
strict_values = st.recursive(scalars, _containers(strings), max_leaves=8)
# And what Python's json.dumps writes beyond it.
values = st.recursive(scalars | odd_scalars, _containers(strings | odd_strings), max_leaves=8)
